"""One attempt at a piece of work, from its claim to what is recorded of it."""

import contextlib
import logging
from collections.abc import Mapping

from connectory.database.documents import Damaged
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.kernel.clock import Clock
from connectory.work import results
from connectory.work.lease import Handler, Lease
from connectory.work.model import (
    MOST_FAILURES,
    Cancelled,
    LeaseLost,
    Stopping,
    WorkDelayed,
    WorkFailed,
    backoff,
)

log = logging.getLogger(__name__)

#: Characters of what a fault says that are kept.
_LONGEST_ERROR = 4_000


class Attempts:
    """Runs handlers and records how they ended."""

    def __init__(self, database: Database, clock: Clock, handlers: Mapping[str, Handler]) -> None:
        self._database = database
        self._clock = clock
        self._handlers = handlers

    def make(self, lease: Lease) -> None:
        """Make an attempt. What cannot be recorded is left to whoever claims the work next."""
        fault = self._run(lease)
        try:
            try:
                self._record(lease, fault)
            except Cancelled as cancelled:  # asked for while it was ending
                self._record(lease, cancelled)
        except (LeaseLost, DatabaseUnavailable) as error:
            _log(lease, "could not record the end of", error)
        except Exception:
            # The handler's own part of the record is at fault: the subject waits for a mended one.
            log.exception("the end of work %s cannot be recorded", lease.work.id)
            with contextlib.suppress(LeaseLost, DatabaseUnavailable):
                self._retry(lease, "the end of the work could not be recorded")

    def _run(self, lease: Lease) -> Exception | None:
        """Run the handler; what it ended by, or None where it has finished."""
        work = lease.work
        if work.cancel_requested:
            return Cancelled()
        if work.failures >= MOST_FAILURES:
            return WorkFailed(work.last_error)
        try:
            self._handlers[work.kind].run(work, lease)
            if not lease.ended:
                lease.finish()
        except Exception as error:  # noqa: BLE001 - whatever it is, `_record` tells what follows
            return error
        return None

    def _record(self, lease: Lease, fault: Exception | None) -> None:
        """Record how an attempt ended."""
        if lease.ended:
            if fault is not None and not isinstance(fault, Stopping):
                log.error("work %s had ended already", lease.work.id, exc_info=fault)
            return
        try:
            lease.check()
        except Exception as interruption:  # noqa: BLE001 - it is why the handler ended as it did
            fault = interruption
        match fault:
            case None | LeaseLost() | Stopping() | DatabaseUnavailable():
                if fault is not None:
                    _log(lease, "did not go on with", fault)
            case Cancelled():
                self._cancel(lease)
            case WorkFailed():
                self._give_up(lease, _told(fault))
            case Damaged():  # it will be no other the next time
                log.error("%s: work on it is given up", fault, extra={fault.kind: fault.id})
                self._give_up(lease, _told(fault))
            case WorkDelayed():
                self._try_again(lease, _told(fault))
            case _:
                log.error("work %s met a fault", lease.work.id, exc_info=fault)
                self._try_again(lease, f"an unexpected fault: {type(fault).__name__}")

    def _try_again(self, lease: Lease, error: str) -> None:
        if lease.work.failures + 1 >= MOST_FAILURES:
            self._give_up(lease, error)
        else:
            self._retry(lease, error)

    def _retry(self, lease: Lease, error: str) -> None:
        work = lease.work
        run_at = self._clock() + backoff(work.id, work.failures + 1)
        with self._database.write() as connection:
            results.retry(connection, work.id, work.attempt, error=error, run_at=run_at)
        _log(lease, "will try again", error)

    def _give_up(self, lease: Lease, error: str) -> None:
        work = lease.work
        with self._database.write() as connection:
            results.require_current(connection, work.id, work.attempt)
            self._handlers[work.kind].give_up(connection, work, error)
            results.fail(connection, work.id, work.attempt, error=error, now=self._clock())
        _log(lease, "gave up", error)

    def _cancel(self, lease: Lease) -> None:
        work = lease.work
        with self._database.write() as connection:
            self._handlers[work.kind].cancelled(connection, work)
            results.end_cancelled(connection, work.id, work.attempt, now=self._clock())
        _log(lease, "cancelled", "it was asked for")


def _told(fault: Exception) -> str:
    """What a fault says, as far as both databases can keep it."""
    text = str(fault).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} …"


def _log(lease: Lease, what: str, why: object) -> None:
    work = lease.work
    log.info(
        "%s %s %s: %s",
        what,
        work.kind,
        work.id,
        why,
        extra={"work": work.id, "subject": work.subject, "attempt": work.attempt},
    )
