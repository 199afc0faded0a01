"""What the handler of a kind of work is given, and what it must be able to do."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import structs
from sqlalchemy import Connection

from connectory.database.engine import Database
from connectory.kernel.clock import Clock
from connectory.work import results
from connectory.work.model import LeaseLost, Stopping, Work

#: What a step changes, in the transaction that records that the step has ended.
Also = Callable[[Connection], None]


class Lease:
    """The right to do one attempt at a piece of work; all its changes go through here.

    Handlers let `LeaseLost`, `Cancelled` and `Stopping` pass. One that catches them gains nothing:
    nothing more can be written with this lease.
    """

    def __init__(self, database: Database, clock: Clock, work: Work, stop: threading.Event) -> None:
        self._database = database
        self._clock = clock
        self._stop = stop
        self._why: type[Exception] | None = None
        #: The work as this attempt has brought it.
        self.work = work
        #: Whether this attempt has recorded its outcome.
        self.ended = False
        #: When the step began that is running now (`time.monotonic`).
        self.step_began = time.monotonic()
        #: The thread that runs it.
        self.runner = threading.current_thread()

    @property
    def interrupted(self) -> bool:
        """Whether to end soon: long steps ask this every now and then, or call `check`."""
        return self._why is not None

    def check(self) -> None:
        """Make sure that it is worth to go on.

        Raises:
            LeaseLost: another attempt has begun, or this one took too long.
            Cancelled: somebody asked for the work to be cancelled.
        """
        if self._why is not None:
            raise self._why(f"work {self.work.id}, attempt {self.work.attempt}")

    def interrupt(self, why: type[Exception]) -> None:
        """Let the handler know that it must go no further; the worker calls this."""
        self._why = why

    def advance(
        self, step: str, found: Mapping[str, Any] | None = None, *, also: Also | None = None
    ) -> None:
        """Record that a step has ended well: in one transaction with `also`, or not at all.

        `found` is added to the work's `progress`. A later attempt begins after this step.

        Raises:
            LeaseLost: another attempt has begun; nothing was written.
            Cancelled: somebody asked for the work to be cancelled; nothing was written.
            Stopping: the step was recorded, and another node is to do the rest.
            DatabaseUnavailable: the database cannot be reached.
        """
        self.check()
        id_, attempt = self.work.id, self.work.attempt
        progress = {**self.work.progress, **(found or {})}
        stopping = self._stop.is_set()
        with self._database.write() as connection:
            results.require_current(connection, id_, attempt)
            if also is not None:
                also(connection)
            # Last, so that everybody locks the subject before its work.
            results.advance(connection, id_, attempt, step, progress)
            if stopping:
                results.release(connection, id_, attempt)
        self.work = structs.replace(self.work, step=step, progress=progress, failures=0)
        self.step_began = time.monotonic()
        if stopping:
            self.ended = True
            self._why = Stopping
            self.check()

    def finish(self, *, also: Also | None = None) -> None:
        """Record that the work is done: in one transaction with `also`, or not at all.

        Raises:
            LeaseLost: another attempt has begun; nothing was written.
            Cancelled: somebody asked for the work to be cancelled; nothing was written.
            DatabaseUnavailable: the database cannot be reached.
        """
        self.check()
        id_, attempt = self.work.id, self.work.attempt
        with self._database.write() as connection:
            results.require_current(connection, id_, attempt)
            if also is not None:
                also(connection)
            results.finish(connection, id_, attempt, now=self._clock())
        self.ended = True
        self._why = LeaseLost


class Handler(Protocol):
    """Does the work of one kind."""

    def run(self, work: Work, lease: Lease) -> None:
        """Do the steps after `work.step`, calling `lease.advance` after each, then `lease.finish`.

        Runs in a thread of the worker. A step may be run again after a crash, so each is
        idempotent; what it writes to the database it writes with `also`. To return is to finish.

        Raises:
            WorkFailed: it is no use to try again.
            WorkDelayed: it may go well later. Any other exception, too, is tried again.
        """

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """In the transaction that records that the work has failed: let its subject know."""

    def cancelled(self, connection: Connection, work: Work) -> None:
        """In the transaction that records that the work is cancelled: let its subject know."""
