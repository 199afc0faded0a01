"""Samples of what the commerce platform sends to event applications, to try one with.

Two formats, as a Subscription of the platform chooses them: its own, and CloudEvents 1.0. The ids
and the names are made up.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]

FORMATS: Final = ("platform", "cloudevents")
_SPEC_VERSION: Final = "1.0"


def _resource(type_id: str) -> Json:
    return {"typeId": type_id, "id": "0c9e6a1f-5d1e-4b52-9d7a-3a5e0f7f2b11"}


def _message(type_: str, type_id: str, **fields: Any) -> Callable[[str, str], Json]:
    """A message of the platform about a resource."""

    def made(project_key: str, now: str) -> Json:
        return {
            "notificationType": "Message",
            "projectKey": project_key,
            "id": "7d1e3b0c-6a52-4f0d-8a86-1f6a53c0e9d4",
            "version": 1,
            "sequenceNumber": 1,
            "resource": _resource(type_id),
            "resourceVersion": 1,
            "resourceUserProvidedIdentifiers": {},
            "type": type_,
            **fields,
            "createdAt": now,
            "lastModifiedAt": now,
        }

    return made


def _change(notification: str, type_id: str, **fields: Any) -> Callable[[str, str], Json]:
    """A notification that a resource was created, updated or deleted."""

    def made(project_key: str, now: str) -> Json:
        return {
            "notificationType": notification,
            "projectKey": project_key,
            "resource": _resource(type_id),
            "resourceUserProvidedIdentifiers": {},
            **fields,
            "modifiedAt": now,
        }

    return made


_ORDER: Final[Json] = {
    "type": "Order",
    "id": "0c9e6a1f-5d1e-4b52-9d7a-3a5e0f7f2b11",
    "version": 1,
    "orderNumber": "sample-1",
    "orderState": "Open",
    "customerEmail": "jo@example.com",
    "totalPrice": {
        "type": "centPrecision",
        "currencyCode": "EUR",
        "centAmount": 4200,
        "fractionDigits": 2,
    },
    "lineItems": [],
    "customLineItems": [],
    "syncInfo": [],
}
_CUSTOMER: Final[Json] = {
    "id": "0c9e6a1f-5d1e-4b52-9d7a-3a5e0f7f2b11",
    "version": 1,
    "email": "jo@example.com",
    "firstName": "Jo",
    "lastName": "Sample",
    "addresses": [],
    "isEmailVerified": False,
}

#: Name → what is sent, of a Project's key and an instant (RFC 3339).
_SAMPLES: Final[Mapping[str, Callable[[str, str], Json]]] = {
    "subscription-test": _change("ResourceCreated", "subscription", version=1),
    "order-created": _message("OrderCreated", "order", order=_ORDER),
    "order-state-changed": _message(
        "OrderStateChanged", "order", orderState="Confirmed", oldOrderState="Open"
    ),
    "customer-created": _message("CustomerCreated", "customer", customer=_CUSTOMER),
    "product-published": _message("ProductPublished", "product", removedImageUrls=[], scope="All"),
    "resource-created": _change("ResourceCreated", "product", version=1),
    "resource-updated": _change("ResourceUpdated", "product", version=2, oldVersion=1),
    "resource-deleted": _change("ResourceDeleted", "product", version=3, dataErasure=False),
}

#: The names of the samples; the first is what the platform sends when a Subscription is made.
NAMES: Final = tuple(_SAMPLES)


def sample(name: str, format_: str, *, project_key: str, now: str) -> Json:
    """What the platform sends, as the data of a message.

    Raises:
        KeyError: there is no sample of this name.
    """
    told = _SAMPLES[name](project_key, now)
    if format_ != "cloudevents":
        return told
    kind = told["notificationType"]
    is_message = kind == "Message"
    change = f"message.{told['type']}" if is_message else f"change.{kind}"
    type_id = told["resource"]["typeId"]
    return {
        "specversion": _SPEC_VERSION,
        "id": told.get("id", told["resource"]["id"]),
        "type": f"com.commercetools.{type_id}.{change}",
        "source": f"/{project_key}/{type_id}s",
        "subject": told["resource"]["id"],
        "time": now,
        "data": told,
    }
