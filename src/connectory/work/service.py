"""The worker of a node: claims work, runs it in threads of its own, and watches over others'."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from connectory.database.engine import Database, DatabaseUnavailable
from connectory.kernel import ids
from connectory.kernel.clock import DAY, Clock
from connectory.work import claims, results, store
from connectory.work.attempts import Attempts
from connectory.work.lease import Handler, Lease
from connectory.work.model import Backlog, Cancelled, LeaseLost, Work
from connectory.work.watching import Silences

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 3_600.0
_GIVING_BACK_SECONDS = 2.0
#: Between two beats no more is cancelled.
_CANCELLED_AT_ONCE = 50


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a worker does what, in seconds."""

    #: It looks for work that others queued; `Worker.wake` tells it of its own node's at once.
    poll: float = 0.2
    #: It shows that it lives, looks whether others do, and counts.
    beat: float = 1.0
    #: A lease that is silent for so long is taken away,
    lease: float = 10.0
    #: or for so long where no other node is connected to the database.
    alone: float = 2.5
    #: A step that takes longer is given up, so that none holds a worker for ever.
    step: float = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a worker does."""

    #: Pieces that it runs at once; with 0 it runs none, and still watches.
    concurrency: int = 2
    #: Pieces of one Project that run at once, on all nodes.
    per_project: int = 2
    #: How many days work is kept after its end.
    kept_days: int = 30


class Worker:
    """Does the work of all kinds it has a handler for, from `start` to `stop`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        *,
        limits: Limits,
        pace: Pace | None = None,
        is_alone: Callable[[Connection], bool] = lambda _: False,
    ) -> None:
        """Make a worker.

        `is_alone` tells whether no other node is connected to the database.
        """
        self._database = database
        self._clock = clock
        #: What it does; nothing where it only watches.
        self.kinds = tuple(handlers) if limits.concurrency else ()
        self._attempts = Attempts(database, clock, handlers)
        self._limits = limits
        self._pace = pace or Pace()
        self._is_alone = is_alone
        # The lock of the embedded database's folder tells for certain.
        self._alone = 0.0 if database.is_sqlite else self._pace.alone
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}:{ids.new_id()[:8]}"
        #: How much work there is, at most `Pace.beat` ago.
        self.backlog = Backlog()
        self._silences = Silences(most_between=2 * self._pace.beat)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._attention = threading.Event()
        #: Guards what follows.
        self._lock = threading.Lock()
        #: Held from before a claim until `_leases` has it, so that no look falls between.
        self._claiming = threading.Lock()
        self._leases: dict[str, Lease] = {}
        self._runners: set[threading.Thread] = set()
        self._wakes = 0
        self._watcher = threading.Thread(target=self._watch, name="work", daemon=True)
        self._beaten_at = float("-inf")
        self._swept_at = float("-inf")
        self._told = ""

    def start(self) -> None:
        """Begin to work."""
        self._watcher.start()

    def wake(self) -> None:
        """Look for work now; for those who have just committed some. Any thread may call it."""
        with self._lock:
            self._wakes += 1
        self._attention.set()

    def oldest_seconds(self) -> float:
        """How long the oldest piece that is queued has been due, as far as the backlog tells."""
        return self.backlog.oldest_seconds(self._clock())

    def retire(self) -> None:
        """Claim nothing more, and give work back as its steps end; `stop` is to follow."""
        self._stop.set()

    def stop(self, drain_seconds: float) -> None:
        """Claim nothing more, wait for the steps that run, and give back what is left.

        Work whose step ends in time goes on at the next step on another node; the other steps
        are run there again.
        """
        self.retire()
        deadline = time.monotonic() + drain_seconds
        with self._lock:
            runners = list(self._runners)
        for runner in runners:
            runner.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        self._attention.set()
        # Where the database hangs, the leases are left to the others.
        self._watcher.join(_GIVING_BACK_SECONDS)

    @contextlib.asynccontextmanager
    async def working(self, left: Callable[[], float]) -> AsyncIterator[None]:
        """Work while the block runs; `left` tells at its end for how long steps may go on."""
        self.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.stop, left())

    def _watch(self) -> None:
        """Until the end: look for work, and after everyone's leases."""
        while not self._ended.is_set():
            self._attention.clear()
            try:
                if time.monotonic() - self._beaten_at >= self._pace.beat:
                    self._beaten_at = time.monotonic()
                    self._beat()
                    self._look_after_leases()
                    if self.kinds:
                        self._cancel()
                    self._sweep()
                self._seek()
                self._told = ""
            except DatabaseUnavailable as error:
                if self._told != str(error):
                    log.warning("work cannot be looked for: %s", error)
                self._told = str(error)
            except Exception as error:
                # Whatever it is, a node that stops beating loses its work.
                if self._told != str(error):
                    log.exception("the worker met a fault")
                self._told = str(error)
            self._attention.wait(self._pace.poll)
        with contextlib.suppress(DatabaseUnavailable):
            self._give_back()

    def _give_back(self) -> None:
        """Release what still runs here: it will not be finished."""
        with self._lock:
            left = list(self._leases.values())
        for lease in left:
            lease.interrupt(LeaseLost)
        for lease in left:
            with self._database.write() as connection:
                results.release(connection, lease.work.id, lease.work.attempt)

    def _beat(self) -> None:
        """Show that we live; hear of work that is cancelled or no longer ours."""
        with self._lock:
            leases = dict(self._leases)
        for id_, lease in list(leases.items()):
            if time.monotonic() - lease.step_began > self._pace.step:
                self._forsake(leases.pop(id_))
        if not leases:
            return
        attempts = {id_: lease.work.attempt for id_, lease in leases.items()}
        with self._database.write() as connection:
            held = results.beat(connection, attempts)
        for id_, lease in leases.items():
            if id_ not in held:
                lease.interrupt(LeaseLost)
            elif held[id_]:
                lease.interrupt(Cancelled)

    def _forsake(self, lease: Lease) -> None:
        """Give a step up that does not end, and let another thread take its place."""
        lease.interrupt(LeaseLost)
        work, error = lease.work, f"a step took longer than {self._pace.step:g} seconds"
        log.error("work %s after step %s: %s", work.id, work.step, error)
        with self._database.write() as connection, contextlib.suppress(LeaseLost):
            results.retry(connection, work.id, work.attempt, error=error, run_at=self._clock())
        with self._lock:
            self._leases.pop(work.id, None)
            self._runners.discard(lease.runner)

    def _look_after_leases(self) -> None:
        """Take away the leases of nodes that are gone, and ours that nothing runs under."""
        with self._claiming, self._database.read() as connection:
            self.backlog = store.backlog(connection)
            held = results.leases(connection)
            with self._lock:
                ours = {id_: lease.work.attempt for id_, lease in self._leases.items()}
            others = [each for each in held if each.owner != self.owner]
            alone = bool(others) and self._is_alone(connection)
        longest = self._alone if alone else self._pace.lease
        silences = self._silences.look(others, time.monotonic())
        gone = [lease for lease, silence in silences.items() if silence >= longest]
        orphans = [
            each for each in held if each.owner == self.owner and ours.get(each.id) != each.attempt
        ]
        if gone or orphans:
            self._take_away(gone, orphans)

    def _take_away(self, gone: list[results.Beat], orphans: list[results.Beat]) -> None:
        with self._database.write() as connection:
            for lease in gone:
                error = "the server that did it stopped answering"
                if results.abandon(connection, lease, error=error, now=self._clock()):
                    log.warning("took work %s from %s, which is silent", lease.id, lease.owner)
            for lease in orphans:
                results.release(connection, lease.id, lease.attempt)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        before = self._clock() - self._limits.kept_days * DAY
        with self._database.write() as connection:
            swept = store.sweep(connection, finished_before=before)
        if swept == 0:
            self._swept_at = time.monotonic()

    def _cancel(self) -> None:
        """Cancel what is queued and to be cancelled."""
        with self._database.read() as connection:
            if not claims.is_due(connection, now=self._clock(), kinds=self.kinds, cancelled=True):
                return
        for _ in range(_CANCELLED_AT_ONCE):
            lease = None if self._stop.is_set() else self._claim(cancelled=True)
            if lease is None:
                return
            self._make(lease)

    def _seek(self) -> None:
        """Have a thread more where there is work for one."""
        if not self._has_room():
            return
        with self._database.read() as connection:
            if not claims.is_due(connection, now=self._clock(), kinds=self.kinds):
                return
        runner = threading.Thread(target=self._work_off, name="work step", daemon=True)
        with self._lock:
            if not self._stop.is_set():
                self._runners.add(runner)
                runner.start()

    def _has_room(self) -> bool:
        busy = len(self._runners) >= self._limits.concurrency
        return bool(self.kinds) and not busy and not self._stop.is_set()

    def _work_off(self) -> None:
        """Do one piece after the other until there is none."""
        own = threading.current_thread()
        try:
            while not self._stop.is_set() and own in self._runners:
                wakes = self._wakes
                lease = self._claim(cancelled=False)
                if lease is not None:
                    self._attention.set()  # there may be work for another thread
                    self._make(lease)
                    continue
                with self._lock:
                    if wakes == self._wakes:
                        self._runners.discard(own)
                        return
        except DatabaseUnavailable as error:
            log.warning("work cannot be claimed: %s", error)
        except Exception:
            log.exception("work cannot be claimed")
        finally:
            with self._lock:
                self._runners.discard(own)

    def _claim(self, *, cancelled: bool) -> Lease | None:
        with self._claiming:
            with self._database.write() as connection:
                work = self._next(connection, cancelled=cancelled)
            if work is None:
                return None
            lease = Lease(self._database, self._clock, work, self._stop)
            with self._lock:
                self._leases[work.id] = lease
            return lease

    def _next(self, connection: Connection, *, cancelled: bool) -> Work | None:
        now, kinds = self._clock(), self.kinds
        if cancelled:
            return claims.claim_cancelled(connection, owner=self.owner, now=now, kinds=kinds)
        most = self._limits.per_project
        return claims.claim(connection, owner=self.owner, now=now, kinds=kinds, per_project=most)

    def _make(self, lease: Lease) -> None:
        try:
            self._attempts.make(lease)
        finally:
            with self._lock:
                if self._leases.get(lease.work.id) is lease:
                    del self._leases[lease.work.id]
