"""The wire types of webhooks, an addition to the published contract.

What is sent is signed as Standard Webhooks has it (https://www.standardwebhooks.com), version 1.
"""

import enum
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from connectory.contract.connectors import Wire


class WebhookEvent(enum.StrEnum):
    """What a Project can be told of."""

    CONNECTOR_PUBLISHED = "connector.published"  #: A new version, certified or not.
    CONNECTOR_CERTIFIED = "connector.certified"  #: That version passed its certification.
    CONNECTOR_UNLISTED = "connector.unlisted"
    DEPLOYMENT_DEPLOYED = "deployment.deployed"  #: A deploy, or a redeploy, has ended well.
    DEPLOYMENT_FAILED = "deployment.failed"
    CRASH_LOOP = "application.crash_loop"  #: An application crashes again and again.
    DEAD_LETTER = "message.dead_letter"  #: Messages were given up.


class WebhookDraft(Wire, frozen=True, kw_only=True):
    """A webhook to be made.

    Attributes:
        url: Where it is sent to.
        events: What is told; without them, everything.
    """

    url: str
    events: tuple[WebhookEvent, ...] | UnsetType = UNSET


class Webhook(Wire, frozen=True, kw_only=True):
    """Where a Project is told what happens.

    Attributes:
        id: Its id.
        url: Where it is sent to.
        events: What is told.
        created_at: When it was made.
        secret: What it is signed with; only in the answer that made it.
    """

    id: str
    url: str
    events: tuple[WebhookEvent, ...]
    created_at: str
    secret: str | UnsetType = UNSET


class WebhookQueryResponse(Wire, frozen=True, kw_only=True):
    """The webhooks of a Project.

    Attributes:
        results: All of them, the oldest first.
    """

    results: tuple[Webhook, ...]


class DeliveryState(enum.StrEnum):
    """Where a delivery is."""

    WAITING = "waiting"  #: It is to be sent, or sent again.
    DELIVERED = "delivered"  #: The receiver has it.
    FAILED = "failed"  #: It was given up.


class WebhookAttempt(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A try to deliver that has ended.

    Attributes:
        at: When it began.
        status: The HTTP status; 0: there was no answer.
        milliseconds: How long it took.
        answer: The first bytes of the answer, or why there was none.
    """

    at: str
    status: int
    milliseconds: int
    answer: str


class WebhookPayload(Wire, frozen=True, kw_only=True):
    """What a receiver gets: the body of each attempt.

    Attributes:
        type: What has happened.
        timestamp: When.
        data: To what; ids, keys, names and states, never a configuration value or a secret.
    """

    type: WebhookEvent
    timestamp: str
    data: Mapping[str, Any]


class WebhookDelivery(Wire, frozen=True, kw_only=True):
    """Something that a webhook tells.

    Attributes:
        id: Its id, which the receiver gets as `webhook-id`; the same with each attempt.
        type: What has happened.
        state: Where it is.
        created_at: When it happened.
        next_attempt_at: When it is sent next, where it waits.
        attempts: The latest attempts.
        payload: The body that is sent.
    """

    id: str
    type: WebhookEvent
    state: DeliveryState
    created_at: str
    next_attempt_at: str | UnsetType = UNSET
    attempts: tuple[WebhookAttempt, ...]
    payload: WebhookPayload


class WebhookDeliveryPagedQueryResponse(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A page of deliveries.

    Attributes:
        data: The latest first.
        next: What the next page is asked for with; "": there is none.
    """

    data: tuple[WebhookDelivery, ...]
    next: str
