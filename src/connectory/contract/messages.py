"""The wire types of messages to event applications.

Publishing is Google Pub/Sub's REST call (`projects.topics.publish`), which publishers already
speak. The rest is an addition to the published contract.
"""

import enum
from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from connectory.contract.connectors import Wire


class PubsubMessage(Wire, frozen=True, kw_only=True):
    """A message to publish; it needs data, or at least one attribute.

    Attributes:
        data: Base64.
        attributes: Texts by name.
        ordering_key: Passed on; messages are delivered in no order.
    """

    data: str = ""
    attributes: Mapping[str, str] = {}
    ordering_key: str = ""


class PublishRequest(Wire, frozen=True, kw_only=True):
    """Messages to publish.

    Attributes:
        messages: At least one.
    """

    messages: tuple[PubsubMessage, ...]


class PublishResponse(Wire, frozen=True, kw_only=True):
    """What was accepted, durably.

    Attributes:
        message_ids: Ids in the order of the messages.
    """

    message_ids: tuple[str, ...]


class MessageState(enum.StrEnum):
    """Where a message is."""

    WAITING = "waiting"  #: It is to be delivered, or delivered again.
    ACKNOWLEDGED = "acknowledged"  #: The application has it; the latest are kept.
    DEAD = "dead"  #: A dead letter: not acknowledged in all attempts, or in all the days.


class DeliveryAttempt(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A delivery that has ended.

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


class EventMessage(Wire, frozen=True, kw_only=True):
    """A message to an event application.

    Attributes:
        id: Its id, as publisher and application know it.
        application_name: To which application.
        state: Where it is.
        published_at: When it was accepted.
        next_attempt_at: When it is delivered next.
        settled_at: When it was acknowledged, or died.
        attempt_count: How many deliveries there were.
        attempts: The latest deliveries, the oldest first.
        correlation_id: `X-Correlation-ID` of all its deliveries, also in the application's log.
        message: What was published.
    """

    id: str
    application_name: str
    state: MessageState
    published_at: str
    next_attempt_at: str | UnsetType = UNSET
    settled_at: str | UnsetType = UNSET
    attempt_count: int
    attempts: tuple[DeliveryAttempt, ...]
    correlation_id: str
    message: PubsubMessage


class EventMessagePagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of messages, the latest first.

    Attributes:
        data: The messages.
        next: The `pageToken` of the next page; "" on the last one.
    """

    data: tuple[EventMessage, ...]
    next: str


class DeadLetterAction(enum.StrEnum):
    """What becomes of dead letters."""

    REPLAY = "replay"  #: They are delivered again, as many times as new ones.
    DROP = "drop"  #: They are removed.


class DeadLetterUpdate(Wire, frozen=True, kw_only=True):
    """What to do with dead letters: with those of `ids`, or with all.

    Attributes:
        action: What to do.
        ids: Which; left out, all.
        application_name: Those of one application only.
    """

    action: DeadLetterAction
    ids: tuple[str, ...] | UnsetType = UNSET
    application_name: str | UnsetType = UNSET


class DeadLetterUpdateResult(Wire, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        count: With how many messages.
    """

    count: int


class TopicKey(Wire, frozen=True, kw_only=True):
    """A key that lets whoever has it publish to one topic, as a bearer token.

    Attributes:
        topic: Full name of the topic.
        key: The key; it is never shown again.
    """

    topic: str
    key: str
