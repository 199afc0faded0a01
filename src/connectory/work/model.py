"""What a piece of work is, the states it goes through, and when it is tried again."""

import enum
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from connectory.kernel.clock import SECOND
from connectory.kernel.transitions import Transitions

#: After so many attempts in a row that ended by a fault, without a step between, work has failed.
MOST_FAILURES: Final = 8
_SHORTEST_BACKOFF: Final = SECOND
#: No failed attempt keeps work waiting for longer; an instant further ahead was written by a clock
#: that was wrong.
LONGEST_BACKOFF: Final = 60 * SECOND


class WorkState(enum.StrEnum):
    """Where a piece of work is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkEvent(enum.StrEnum):
    """What happens to a piece of work."""

    CLAIM = "claim"
    FINISH = "finish"
    #: An attempt ended by a fault, and there will be another.
    RETRY = "retry"
    #: Its node stops, or has gone: others may claim it.
    RELEASE = "release"
    FAIL = "fail"
    CANCEL = "cancel"


#: Work is cancelled by a worker, at the end of a step, after somebody asked for it.
TRANSITIONS: Final = Transitions[WorkState, WorkEvent](
    initial=WorkState.QUEUED,
    table={
        WorkEvent.CLAIM: {WorkState.QUEUED: WorkState.RUNNING},
        WorkEvent.FINISH: {WorkState.RUNNING: WorkState.DONE},
        WorkEvent.RETRY: {WorkState.RUNNING: WorkState.QUEUED},
        WorkEvent.RELEASE: {WorkState.RUNNING: WorkState.QUEUED},
        WorkEvent.FAIL: {WorkState.RUNNING: WorkState.FAILED},
        WorkEvent.CANCEL: {WorkState.RUNNING: WorkState.CANCELLED},
    },
)

#: The states that something still happens in.
OPEN: Final = (WorkState.QUEUED, WorkState.RUNNING)


class WorkError(ValueError):
    """What a command asks of a piece of work cannot be; the message says why."""


class LeaseLost(Exception):
    """This attempt is not the current one any more: what it found counts for nothing."""


class Cancelled(Exception):
    """Somebody asked for this work to be cancelled: it must go no further."""


class Stopping(Exception):
    """This node stops: the step that has ended is kept, another node does the next one."""


class WorkFailed(Exception):
    """It is no use to try again; the message is for people, and tells no secret."""


class WorkDelayed(Exception):
    """It may go well later; the message is for people, and tells no secret."""


class Work(Struct, frozen=True, kw_only=True):
    """A piece of work, as it was when it was read. Instants are microseconds since 1970."""

    id: str
    #: Which handler does it.
    kind: str
    #: The id of what it is about.
    subject: str
    #: `region:projectKey`: whose it is.
    project: str
    state: WorkState
    #: The last step that has ended; none if none has.
    step: str | None
    #: What is to be done.
    payload: Mapping[str, Any]
    #: What the steps have found.
    progress: Mapping[str, Any]
    #: How often it was claimed. Only the current attempt can change anything.
    attempt: int
    #: How many attempts ended by a fault since a step last ended well.
    failures: int
    #: When it came into the queue; after a fault, when it may be tried again.
    run_at: int
    lease_owner: str | None
    cancel_requested: bool
    #: What the last fault was, for people.
    last_error: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None


class Backlog(Struct, frozen=True, kw_only=True):
    """How much work there is."""

    queued: int = 0
    running: int = 0
    #: When the oldest that is queued was due, in microseconds since 1970; none if none is queued.
    oldest_run_at: int | None = None

    def oldest_seconds(self, now: int) -> float:
        """How long the oldest piece has been waiting for a worker."""
        return max(0, now - self.oldest_run_at) / SECOND if self.oldest_run_at is not None else 0.0


def backoff(id_: str, failures: int) -> int:
    """How long work waits after its nth failure in a row, in microseconds.

    Twice as long each time, up to `LONGEST_BACKOFF`. Up to half of it is taken off, by chance made
    of the id, so that what failed together does not come back together.
    """
    longest = min(LONGEST_BACKOFF, _SHORTEST_BACKOFF << min(failures - 1, 32))
    chance = hashlib.sha256(f"{id_} {failures}".encode()).digest()
    return longest - longest * chance[0] // 512
