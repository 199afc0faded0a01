"""What a webhook and a delivery are, how a delivery is signed, and when it is tried again: pure.

Source of headers, secrets and signatures: Standard Webhooks 1.0.0
(https://www.standardwebhooks.com). (docs/decisions/0032-webhooks.md)
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from connectory.contract import webhooks as wire
from connectory.contract.connectors import Wire
from connectory.contract.webhooks import DeliveryState, WebhookEvent, WebhookPayload
from connectory.kernel.clock import SECOND, to_rfc3339

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what all begin with
_SECRET_BYTES: Final = 32
#: Seconds from each failure to the next attempt; together about a day.
PAUSES: Final = (1, 30, 300, 1_800, 7_200, 21_600, 54_000)
MOST_ATTEMPTS: Final = len(PAUSES) + 1
#: Pauses are up to so much of themselves longer, so that what failed together does not come back
#: together.
JITTER: Final = 0.2
#: How many attempts are kept of a delivery.
_KEPT_ATTEMPTS: Final = 20


class Webhook(Struct, frozen=True, kw_only=True):
    """Where a Project is told what happens.

    Attributes:
        id: Its id.
        project: The Project, as `region:projectKey`.
        url: Where it is sent to.
        events: What is told.
        sealed: What it signs with, encrypted.
        created_at: Microseconds since 1970.
    """

    id: str
    project: str
    url: str
    events: tuple[WebhookEvent, ...]
    sealed: str
    created_at: int


class Attempt(Wire, frozen=True, kw_only=True):
    """A try to deliver that has ended.

    Attributes:
        at: When it began, in microseconds since 1970.
        status: The HTTP status; 0: there was no answer.
        milliseconds: How long it took.
        answer: The answer's first bytes, or why there was none.
    """

    at: int
    status: int
    milliseconds: int
    answer: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the statuses of success


class Delivery(Struct, frozen=True, kw_only=True):
    """Something that a webhook tells.

    Attributes:
        id: Its id, the receiver's `webhook-id`.
        webhook_id: Which webhook tells it.
        type: What has happened.
        payload: The body, to the byte.
        state: Where it is.
        attempts: The latest attempts.
        next_at: When it is sent next, or when another node may take it; none: it is over.
        created_at: Microseconds since 1970.
    """

    id: str
    webhook_id: str
    type: WebhookEvent
    payload: bytes
    state: DeliveryState = DeliveryState.WAITING
    attempts: tuple[Attempt, ...] = ()
    next_at: int | None
    created_at: int


def after(delivery: Delivery, attempt: Attempt, now: int, jitter: float) -> Delivery:
    """A delivery after an attempt that ended now; `jitter` is from 0 to `JITTER`."""
    attempts = (*delivery.attempts, attempt)[-_KEPT_ATTEMPTS:]
    if attempt.delivered:
        state, next_at = DeliveryState.DELIVERED, None
    elif len(attempts) >= MOST_ATTEMPTS:
        state, next_at = DeliveryState.FAILED, None
    else:
        state = DeliveryState.WAITING
        next_at = now + int(PAUSES[len(attempts) - 1] * (1 + jitter) * SECOND)
    return replace(delivery, state=state, attempts=attempts, next_at=next_at)


def new_secret() -> bytes:
    """What a new webhook signs with."""
    return secrets.token_bytes(_SECRET_BYTES)


def spelled(secret: bytes) -> str:
    """A secret as its owner gets it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(delivery: Delivery, secret: bytes, now: int) -> dict[str, str]:
    """The headers of an attempt that begins now: its id, its moment, and the signature of both."""
    seconds = now // SECOND
    signed = b"%b.%d.%b" % (delivery.id.encode(), seconds, delivery.payload)
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": delivery.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def shown(webhook: Webhook, secret: bytes | None = None) -> wire.Webhook:
    """A webhook as the API shows it; with its secret where it was just made."""
    return wire.Webhook(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        created_at=to_rfc3339(webhook.created_at),
        secret=UNSET if secret is None else spelled(secret),
    )


def shown_delivery(delivery: Delivery, payload: WebhookPayload) -> wire.WebhookDelivery:
    """A delivery as the API shows it."""
    return wire.WebhookDelivery(
        id=delivery.id,
        type=delivery.type,
        state=delivery.state,
        created_at=to_rfc3339(delivery.created_at),
        next_attempt_at=UNSET if delivery.next_at is None else to_rfc3339(delivery.next_at),
        attempts=tuple(
            wire.WebhookAttempt(
                at=to_rfc3339(each.at),
                status=each.status,
                milliseconds=each.milliseconds,
                answer=each.answer,
            )
            for each in delivery.attempts
        ),
        payload=payload,
    )
