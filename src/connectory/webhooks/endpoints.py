"""The endpoints of webhooks: an addition to the published contract."""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from connectory.contract import errors
from connectory.contract.scalars import Id, ProjectKey
from connectory.contract.scopes import Permission
from connectory.contract.webhooks import (
    Webhook,
    WebhookDelivery,
    WebhookDeliveryPagedQueryResponse,
    WebhookDraft,
    WebhookPayload,
    WebhookQueryResponse,
)
from connectory.http.access import Grant
from connectory.http.answers import Response, of_json
from connectory.http.table import Endpoint, Request
from connectory.webhooks.model import Delivery, shown, shown_delivery
from connectory.webhooks.service import Webhooks

_PATH: Final = "/{projectKey}/webhooks"
_TAG: Final = "Webhooks"
_TOKEN: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f-]{36})", re.ASCII)
_PERMISSIONS: Final = frozenset({Permission.MANAGE_PROJECT})

_WEBHOOK: Final = {
    "id": "7d3c1c0e-2a55-4a0b-9d7a-0f6b8c1e2d34",
    "url": "https://acme.example/connectory",
    "events": ["deployment.deployed", "deployment.failed"],
    "createdAt": "2026-01-31T08:30:00.123Z",
}
_DELIVERY: Final = {
    "id": "c2d9a7f4-6a1e-4d0c-8f3b-5e7a9b1c3d5f",
    "type": "deployment.deployed",
    "state": "delivered",
    "createdAt": "2026-01-31T08:31:00.456Z",
    "attempts": [
        {
            "at": "2026-01-31T08:31:00.789Z",
            "status": 204,
            "milliseconds": 41,
            "answer": "",
        }
    ],
    "payload": {
        "type": "deployment.deployed",
        "timestamp": "2026-01-31T08:31:00.456Z",
        "data": {"id": "5ab3edcd-9d23-4934-8f48-256805253119", "key": "my-deployment"},
    },
}

_payloads = msgspec.json.Decoder(WebhookPayload)


class DeliveryQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which deliveries are wanted."""

    limit: Annotated[int, Meta(ge=1, le=500, description="The most of a page.")] = 20
    page_token: Annotated[str, Meta(description="`next` of the page before.")] = ""


def endpoints(webhooks: Webhooks) -> list[Endpoint]:
    """The endpoints of this slice."""
    return [*_of_all(webhooks), *_of_one(webhooks), *_of_deliveries(webhooks)]


def _of_all(webhooks: Webhooks) -> list[Endpoint]:
    async def create(request: Request) -> Response:
        draft: WebhookDraft = request.body
        made, secret = await webhooks.create(draft, request.own)
        return of_json(shown(made, secret), 201)

    async def query(request: Request) -> Response:
        found = await webhooks.query(request.own)
        return of_json(WebhookQueryResponse(results=tuple(map(shown, found))))

    return [
        _endpoint(
            method="POST",
            path=_PATH,
            summary="Create Webhook",
            description="What is sent is signed as Standard Webhooks has it, with the `secret` of"
            " this answer, which is not shown again.",
            parameters={"projectKey": ProjectKey},
            body=WebhookDraft,
            success=(201, Webhook),
            errors=(errors.InvalidJsonInput, errors.LimitExceeded),
            example=_WEBHOOK | {"secret": "whsec_…"},
            handler=create,
        ),
        _endpoint(
            method="GET",
            path=_PATH,
            summary="Query Webhooks",
            parameters={"projectKey": ProjectKey},
            success=(200, WebhookQueryResponse),
            example={"results": [_WEBHOOK]},
            handler=query,
        ),
    ]


def _of_one(webhooks: Webhooks) -> list[Endpoint]:
    async def get(request: Request) -> Response:
        grant = request.own
        return of_json(shown(await webhooks.get(_id(request, "id"), grant)))

    async def delete(request: Request) -> Response:
        grant = request.own
        return of_json(shown(await webhooks.delete(_id(request, "id"), grant)))

    common: dict[str, Any] = {
        "path": f"{_PATH}/{{id}}",
        "parameters": {"projectKey": ProjectKey, "id": Id},
        "success": (200, Webhook),
        "errors": (errors.ResourceNotFound,),
        "example": _WEBHOOK,
    }
    return [
        _endpoint(method="GET", summary="Get Webhook", handler=get, **common),
        _endpoint(
            method="DELETE",
            summary="Delete Webhook",
            description="What it has not told yet is not told.",
            handler=delete,
            **common,
        ),
    ]


def _of_deliveries(webhooks: Webhooks) -> list[Endpoint]:
    async def query(request: Request) -> Response:
        grant = request.own
        return of_json(await _page(webhooks, _id(request, "id"), grant, request.query))

    async def retry(request: Request) -> Response:
        grant = request.own
        id_, delivery_id = _id(request, "id"), _id(request, "deliveryId")
        return of_json(_shown(await webhooks.retry(id_, delivery_id, grant)))

    whose = {"projectKey": ProjectKey, "id": Id}
    return [
        _endpoint(
            method="GET",
            path=f"{_PATH}/{{id}}/deliveries",
            summary="Query deliveries of Webhook",
            description="What it has told and is to tell, with each attempt, the latest first."
            " What is over is kept for 30 days.",
            parameters=whose,
            query=DeliveryQuery,
            success=(200, WebhookDeliveryPagedQueryResponse),
            errors=(errors.ResourceNotFound, errors.InvalidQueryParam),
            example={"data": [_DELIVERY], "next": ""},
            handler=query,
        ),
        _endpoint(
            method="POST",
            path=f"{_PATH}/{{id}}/deliveries/{{deliveryId}}/retry",
            summary="Retry delivery of Webhook",
            description="It is sent now, whatever became of it, with the same `webhook-id`.",
            parameters={**whose, "deliveryId": Id},
            success=(200, WebhookDelivery),
            errors=(errors.ResourceNotFound,),
            example=_DELIVERY | {"state": "waiting", "nextAttemptAt": "2026-01-31T09:00:00.000Z"},
            handler=retry,
        ),
    ]


def _endpoint(**fields: Any) -> Endpoint:
    return Endpoint(tag=_TAG, addition=True, permissions=_PERMISSIONS, **fields)


async def _page(
    webhooks: Webhooks, id_: str, grant: Grant, wanted: DeliveryQuery
) -> WebhookDeliveryPagedQueryResponse:
    before = None
    if wanted.page_token:
        token = _TOKEN.fullmatch(wanted.page_token)
        if token is None:
            raise errors.InvalidQueryParam("pageToken: it is not `next` of a page")
        before = int(token[1]), token[2]
    found = await webhooks.deliveries(id_, grant, before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    return WebhookDeliveryPagedQueryResponse(
        data=tuple(map(_shown, page)),
        next=f"{page[-1].created_at}.{page[-1].id}" if len(found) > len(page) else "",
    )


def _shown(delivery: Delivery) -> WebhookDelivery:
    return shown_delivery(delivery, _payloads.decode(delivery.payload))


def _id(request: Request, name: str) -> str:
    return request.path[name].lower()
