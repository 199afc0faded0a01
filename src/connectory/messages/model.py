"""What a topic and a message are, and what becomes of a message by the answer to a delivery.

All pure. Source: the published documentation on deployment behaviour of event applications, and
Google's Pub/Sub, whose push envelope connectors read. (docs/decisions/0026-messages.md)
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from connectory.contract.connectors import Wire
from connectory.contract.messages import MessageState
from connectory.kernel.clock import MILLISECOND, SECOND, to_rfc3339
from connectory.specification.shape import ExponentialBackoff, RetryPolicy

#: What acknowledges a message; everything else has it sent again.
ACKNOWLEDGING: Final = frozenset((102, 200, 201, 202, 204))
#: How long an application may take to acknowledge a message, and to answer at all.
ACKNOWLEDGE_SECONDS: Final = 10.0
#: How many attempts are kept of a message: the first few would say the least.
KEPT_ATTEMPTS: Final = 20

#: Without a policy: twice as long each time.
_DEFAULT_FIRST, _DEFAULT_LAST = 1 * SECOND, 600 * SECOND
#: "At once" is after so long, so that a message that is refused does not occupy an application.
_IMMEDIATELY: Final = 100 * MILLISECOND

_raw_encoder = msgspec.json.Encoder()


class Topic(Struct, frozen=True, kw_only=True):
    """Where messages to an event application are sent to.

    Attributes:
        name: The last part of its full name.
        application_id: The `id` of the ApplicationDeployment.
        deployment_id: Whose that is.
        project: The Project, as `region:projectKey`.
        application: Name of the application.
        endpoint: Path that messages are posted to, with a slash in front.
        retry_policy: How what is not acknowledged is sent again; none: the default.
        delivers: Whether a release serves.
        key_digest: Digest of the key that lets anybody send to it; none: it has none.
    """

    name: str
    application_id: str
    deployment_id: str
    project: str
    application: str
    endpoint: str
    retry_policy: RetryPolicy | None
    delivers: bool
    key_digest: str | None = None

    @property
    def project_key(self) -> str:
        """The key of its Project."""
        return self.project.partition(":")[2]

    @property
    def full_name(self) -> str:
        """`projects/{projectKey}/topics/{name}`."""
        return f"projects/{self.project_key}/topics/{self.name}"

    @property
    def subscription(self) -> str:
        """The name under which it is delivered."""
        return f"projects/{self.project_key}/subscriptions/{self.name}"


class Content(Wire, frozen=True, kw_only=True):
    """What a publisher sends, as Pub/Sub's `PubsubMessage` has it.

    Attributes:
        data: Base64.
        attributes: Texts by name.
        ordering_key: Passed on; messages are delivered in no order.
    """

    data: str = ""
    attributes: Mapping[str, str] | UnsetType = UNSET
    ordering_key: str | UnsetType = UNSET


class Attempt(Wire, frozen=True, kw_only=True):
    """A delivery that has ended.

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


class Message(Struct, frozen=True, kw_only=True):
    """A message to an event application.

    Attributes:
        id: Of no other message.
        application_id: To which application.
        deployment_id: Whose that is.
        state: Where it is.
        due_at: When it is delivered next; none where it is not.
        content: A `Content`, as JSON.
        correlation_id: That of the request that published it; sent with each delivery.
        published_at: Microseconds since 1970.
        attempt_count: How many deliveries there were since it was published or replayed.
        attempts: The latest of them.
        settled_at: When it was acknowledged or died, in microseconds since 1970.
        expires_at: When it dies, or where it is dead is removed, in microseconds since 1970.
    """

    id: int
    application_id: str
    deployment_id: str
    state: MessageState = MessageState.WAITING
    due_at: int | None
    content: msgspec.Raw
    correlation_id: str
    published_at: int
    attempt_count: int = 0
    attempts: tuple[Attempt, ...] = ()
    settled_at: int | None = None
    expires_at: int | None = None


class Keeping(Struct, frozen=True, kw_only=True):
    """How long messages are kept, in microseconds: those that wait, and dead ones after that."""

    waiting: int
    dead: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What a delivery has made of a message; the fields are those of `Message`."""

    message: Message
    state: MessageState
    attempts: tuple[Attempt, ...]
    due_at: int | None
    settled_at: int | None
    expires_at: int | None


def outcome(
    message: Message, attempt: Attempt, policy: RetryPolicy | None, now: int, keeping: Keeping
) -> Outcome:
    """What becomes of a message by a delivery that ended now."""
    attempts = (*message.attempts, attempt)[-KEPT_ATTEMPTS:]
    count = message.attempt_count + 1
    if attempt.status in ACKNOWLEDGING:
        return Outcome(
            message=message,
            state=MessageState.ACKNOWLEDGED,
            attempts=attempts,
            due_at=None,
            settled_at=now,
            expires_at=None,
        )
    due_at = now + _pause(policy, count)
    exhausted = isinstance(policy, ExponentialBackoff) and (
        isinstance(policy.max_attempts, int) and count >= policy.max_attempts
    )
    if exhausted or (message.expires_at is not None and due_at >= message.expires_at):
        return Outcome(
            message=message,
            state=MessageState.DEAD,
            attempts=attempts,
            due_at=None,
            settled_at=now,
            expires_at=now + keeping.dead,
        )
    return Outcome(
        message=message,
        state=MessageState.WAITING,
        attempts=attempts,
        due_at=due_at,
        settled_at=None,
        expires_at=message.expires_at,
    )


def _pause(policy: RetryPolicy | None, failures: int) -> int:
    """How long a message waits after its nth failure, in microseconds."""
    first, last = _DEFAULT_FIRST, _DEFAULT_LAST
    if isinstance(policy, ExponentialBackoff):
        first, last = policy.min_backoff_seconds * SECOND, policy.max_backoff_seconds * SECOND
    elif policy is not None:
        return _IMMEDIATELY
    return min(first << min(failures - 1, 32), last)


def envelope(message: Message, topic: Topic) -> bytes:
    """The body of a delivery: the push envelope of Pub/Sub."""
    moment = to_rfc3339(message.published_at)
    content = bytes(message.content)
    # Spelled both ways, as the documentation's own sample has it.
    own = b'"messageId":"%d","message_id":"%d","publishTime":"%b","publish_time":"%b"' % (
        message.id,
        message.id,
        moment.encode(),
        moment.encode(),
    )
    given = content[1:-1].strip()
    inner = b"{%b%b%b}" % (given, b"," if given else b"", own)
    subscription: Any = topic.subscription
    return b'{"message":%b,"subscription":%b}' % (inner, _raw_encoder.encode(subscription))


class Window:
    """How many deliveries to one application are under way at once: what its answers allow.

    It begins with few, doubles while everything is acknowledged, and halves when something is not.
    While nothing is answered at all, there are longer and longer pauses; one that answers, and
    refuses message after message, gets a short one, so that those it would take are not held up.
    (Pub/Sub calls it slow start and push backoff.)
    """

    FIRST, MOST = 4, 256
    FIRST_PAUSE, LAST_PAUSE = 0.1, 60.0

    def __init__(self) -> None:
        self.size = float(self.FIRST)
        self._refusals = 0
        self._unanswered = 0

    def acknowledged(self) -> None:
        """A delivery was acknowledged."""
        self._refusals = self._unanswered = 0
        self.size = min(self.size + 1, self.MOST)

    def refused(self, *, answered: bool) -> float:
        """A delivery was not; the seconds for which there is to be none."""
        self._refusals += 1
        self._unanswered = 0 if answered else self._unanswered + 1
        self.size = max(self.size / 2, self.FIRST if answered else 1.0)
        if self._refusals <= self.FIRST:
            return 0.0  # it may be these messages that are amiss
        doublings = min(self._unanswered // self.FIRST, 16)
        return float(min(self.FIRST_PAUSE * 2**doublings, self.LAST_PAUSE))
