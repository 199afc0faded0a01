"""The log of Deployments: what other slices may call.

Entries are handed over in any thread and never wait: they go into a queue of bounded size, which
one thread writes to the database in batches. What is lost on the way, because an application prints
too much or the database is too slow, is counted, and an entry tells of it.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from connectory.contract.logs import DeploymentLogSeverity
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.kernel.buckets import Buckets
from connectory.kernel.clock import DAY, Clock
from connectory.logs import store
from connectory.logs.masking import Masker
from connectory.logs.model import (
    OVERHEAD_BYTES,
    Answered,
    Entry,
    Printing,
    line_entry,
    request_entry,
    text_entry,
)
from connectory.logs.store import Filter, Stored

log = logging.getLogger(__name__)

#: The least time between two transactions of the writer.
BATCH_SECONDS: Final = 0.25
_BATCH_ENTRIES: Final = 5_000
#: What the queue holds, in entries and in characters of their details.
_QUEUE_ENTRIES: Final = 50_000
_QUEUE_SIZE: Final = 32 * 2**20
#: How often the writer looks for what has expired.
_SWEEP_SECONDS: Final = 60.0
_SWEEP_ENTRIES: Final = 2_000
#: How long the writer waits for a database that is away.
_RETRY_SECONDS: Final = 1.0
#: The time over which lines are counted, and the least between two entries that tell of losses.
_THROTTLE_SECONDS: Final = 10.0
#: Where a bound is exceeded, so much of it is freed, so that it is not exceeded again at once.
_FREED: Final = 0.05
#: How often a follower looks for new entries.
FOLLOW_SECONDS: Final = 0.3
#: How often it is looked whether a batch has been written.
_LOOK_SECONDS: Final = 0.02
_FOLLOW_ENTRIES: Final = 500


class Bounds(Struct, frozen=True, kw_only=True):
    """How much is kept: days, bytes in all, bytes of a Deployment; lines a second taken."""

    kept_days: int = 30
    all_bytes: int = 2 * 2**30
    deployment_bytes: int = 256 * 2**20
    lines_per_second: int = 500


class _Loss(Struct):
    """What was not taken of an application since an entry told of it."""

    throttled: int = 0
    dropped: int = 0
    told_at: float = float("-inf")


class Logs:
    """The log of all Deployments, on one node."""

    def __init__(self, database: Database, clock: Clock, bounds: Bounds) -> None:
        self._database = database
        self._clock = clock
        self.bounds = bounds
        self._rates = Buckets(bounds.lines_per_second * _THROTTLE_SECONDS, _THROTTLE_SECONDS)
        self._lock = threading.Lock()
        self._queue: deque[Entry] = deque()
        self._queued_size = 0
        self._batch_under_way = False
        self._losses: dict[tuple[str, str], _Loss] = {}
        self._values: dict[str, frozenset[str]] = {}
        self._maskers: dict[str, Masker] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        #: Entries that were written since the start; and lines and requests that were not, because
        #: an application printed too much, or because the database was too slow.
        self.written = 0
        self.throttled = 0
        self.dropped = 0
        #: What all entries in the database count for, in bytes, a minute ago at most.
        self.held = 0

    def now(self) -> int:
        """The present instant: microseconds since 1970."""
        return self._clock()

    # What is collected: any thread, nothing waits

    def mask(self, deployment_id: str, values: Iterable[str]) -> None:
        """Mask these secured values of a Deployment from now on, beside those given before.

        They are kept in memory only: they are to be given again after a start.
        """
        with self._lock:
            known = self._values.get(deployment_id, frozenset())
            together = known | frozenset(values)
            if together != known:
                self._values[deployment_id] = together
                self._maskers[deployment_id] = Masker(together)

    def output(self, program: Printing, stream: str, line: bytes) -> None:
        """Take a line that a program, or its build, printed (a `runtime.model.Output`)."""
        if self._takes(program.deployment_id, program.application):
            masker = self._maskers.get(program.deployment_id)
            self.add(line_entry(program, stream, line, at=self._clock(), masker=masker))

    def answered(self, exchange: Answered) -> None:
        """Take a request that an application answered."""
        route = exchange.route
        if self._takes(route.deployment_id, route.application):
            masker = self._maskers.get(route.deployment_id)
            self.add(request_entry(exchange, at=self._clock(), masker=masker))

    def add(self, entry: Entry) -> None:
        """Take an entry as it is, neither throttled nor masked; a full queue counts it only."""
        size = _size(entry)
        with self._lock:
            full = len(self._queue) >= _QUEUE_ENTRIES or self._queued_size + size > _QUEUE_SIZE
            if full:
                self._loss(entry.deployment_id, entry.application).dropped += 1
                self.dropped += 1
            else:
                self._queue.append(entry)
                self._queued_size += size
        if not self._wake.is_set():
            self._wake.set()

    def _takes(self, deployment_id: str, application: str) -> bool:
        if not self._rates.take(f"{deployment_id}/{application}"):
            return True
        with self._lock:
            self._loss(deployment_id, application).throttled += 1
            self.throttled += 1
        if not self._wake.is_set():
            self._wake.set()
        return False

    def _loss(self, deployment_id: str, application: str) -> _Loss:
        return self._losses.setdefault((deployment_id, application), _Loss())

    # What is asked for

    async def query(
        self,
        wanted: Filter,
        *,
        start: int,
        end: int,
        after: tuple[int, int] | None = None,
        limit: int,
    ) -> tuple[list[Stored], bool]:
        """Entries from `start` to `end`, the oldest first, and whether there are more.

        `after` is the instant and the id of the last entry of the page before.
        """
        earliest = self._clock() - self.bounds.kept_days * DAY
        found = await self._database.reading_promptly(
            store.between,
            wanted,
            start=max(start, earliest),
            end=end,
            after=after,
            limit=limit + 1,
        )
        return found[:limit], len(found) > limit

    async def follow(
        self, wanted: Filter, *, after: int | None = None, tail: int = 0
    ) -> AsyncIterator[Sequence[Stored]]:
        """Entries as they come, without an end; empty where none have come.

        Those with a greater id than `after`; without that the newest `tail`, and what follows.
        """
        reading = self._database.reading_promptly
        if after is None:
            after = await reading(store.last_id, wanted.deployment_id)
            if tail:
                before = await reading(store.newest, wanted, tail)
                after = max(after, before[-1].id if before else 0)
                yield before
        while True:
            found = await reading(store.following, wanted, after, _FOLLOW_ENTRIES)
            if found:
                after = found[-1].id
            yield found
            if len(found) < _FOLLOW_ENTRIES:
                await asyncio.sleep(FOLLOW_SECONDS)

    async def deployments(self) -> set[str]:
        """The Deployments that something is logged of, by their ids, those that are gone too."""
        return await self._database.reading(store.deployments)

    async def remove(self, deployment_id: str) -> None:
        """Remove all of a Deployment, which was deleted: nobody could ask for it any more."""
        self.forget(deployment_id)
        while not self._taken_out(deployment_id):  # noqa: ASYNC110 - a thread writes
            await asyncio.sleep(_LOOK_SECONDS)
        while await self._database.writing(
            store.remove_oldest, most=_SWEEP_ENTRIES, deployment_id=deployment_id
        ):
            pass

    def _taken_out(self, deployment_id: str) -> bool:
        """Take a Deployment out of the queue; False while a batch may be about to write it."""
        with self._lock:
            if self._batch_under_way:
                return False
            kept = [each for each in self._queue if each.deployment_id != deployment_id]
            self._queue = deque(kept)
            self._queued_size = sum(map(_size, kept))
            for each in [each for each in self._losses if each[0] == deployment_id]:
                del self._losses[each]
            return True

    def forget(self, deployment_id: str) -> None:
        """Forget the secured values of a Deployment that does not run any more."""
        with self._lock:
            self._values.pop(deployment_id, None)
            self._maskers.pop(deployment_id, None)

    # The writer

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write what is collected while the block runs; at its end, what is left."""
        self._stopped.clear()
        writer = threading.Thread(target=self._write_forever, name="logs", daemon=True)
        writer.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._wake.set()
            writer.join()

    def _write_forever(self) -> None:
        swept_at = float("-inf")
        while not self._stopped.is_set():
            if time.monotonic() - swept_at > _SWEEP_SECONDS:
                self._guarded(self._sweep)
                swept_at = time.monotonic()
            self._wake.wait(_SWEEP_SECONDS)
            self._wake.clear()
            self._guarded(self._flush)
            self._stopped.wait(BATCH_SECONDS)
        with contextlib.suppress(DatabaseUnavailable):
            while self._flush():
                pass

    def _guarded(self, step: Callable[[], object]) -> None:
        """Do a step; the writer lives on whatever becomes of it."""
        try:
            step()
        except DatabaseUnavailable as error:
            log.warning("the log of Deployments cannot be written now: %s", error)
            self._wake.set()
            self._stopped.wait(_RETRY_SECONDS)
        except Exception:
            log.exception("the log of Deployments could not be written")
            self._stopped.wait(_RETRY_SECONDS)

    def _flush(self) -> bool:
        """Write a batch; whether there is more."""
        batch, more = self._taken()
        try:
            if not batch:
                return False
            with self._database.write() as connection:
                store.append(connection, batch)
        except DatabaseUnavailable:
            self._give_back(batch)
            raise
        except Exception:
            self.dropped += len(batch)
            raise
        finally:
            self._batch_under_way = False
        self.written += len(batch)
        if more:
            self._wake.set()
        self._shrink()
        return more

    def _taken(self) -> tuple[list[Entry], bool]:
        """A batch of the queue, with what tells of losses; and whether there is more."""
        with self._lock:
            count = min(len(self._queue), _BATCH_ENTRIES)
            batch = [self._queue.popleft() for _ in range(count)]
            self._queued_size -= sum(map(_size, batch))
            batch += self._told_losses()
            self._batch_under_way = True
            return batch, bool(self._queue)

    def _give_back(self, batch: Sequence[Entry]) -> None:
        with self._lock:
            self._queue.extendleft(reversed(batch))
            self._queued_size += sum(map(_size, batch))

    def _told_losses(self) -> list[Entry]:
        """Entries that tell what was not taken, of each application one in a while."""
        now = time.monotonic()
        ended = self._stopped.is_set()
        told = []
        for (deployment_id, application), loss in list(self._losses.items()):
            if now - loss.told_at < _THROTTLE_SECONDS and not ended:
                continue
            if not loss.throttled and not loss.dropped:
                del self._losses[deployment_id, application]
                continue
            message = _loss_message(loss, self.bounds.lines_per_second)
            severity = DeploymentLogSeverity.WARNING
            told.append(
                text_entry(deployment_id, application, message, at=self._clock(), severity=severity)
            )
            self._losses[deployment_id, application] = _Loss(told_at=now)
        return told

    def _sweep(self) -> None:
        """Remove what has expired."""
        before = self._clock() - self.bounds.kept_days * DAY
        self._remove_oldest(before=before)
        self._weigh()

    def _weigh(self) -> None:
        with self._database.read() as connection:
            self.held = store.size(connection)

    def _shrink(self) -> None:
        """Remove the oldest entries of whoever has too many."""
        bounds = self.bounds
        with self._database.read() as connection:
            largest = store.largest(connection, bounds.deployment_bytes)
        for deployment_id, size in largest:
            enough = size - int(bounds.deployment_bytes * (1 - _FREED))
            self._remove_oldest(deployment_id=deployment_id, enough=enough)
        self._weigh()
        if self.held > bounds.all_bytes:
            self._remove_oldest(enough=self.held - int(bounds.all_bytes * (1 - _FREED)))
            self._weigh()

    def _remove_oldest(
        self,
        *,
        deployment_id: str | None = None,
        before: int | None = None,
        enough: int | None = None,
    ) -> None:
        """Remove entries in many short transactions, so that others can write between them."""
        while enough is None or enough > 0:
            with self._database.write() as connection:
                freed = store.remove_oldest(
                    connection,
                    most=_SWEEP_ENTRIES,
                    deployment_id=deployment_id,
                    before=before,
                    enough=enough,
                )
            if not freed or self._stopped.is_set():
                return
            enough = None if enough is None else enough - freed


def _size(entry: Entry) -> int:
    """What an entry takes in the queue."""
    return len(entry.details) + OVERHEAD_BYTES


def _loss_message(loss: _Loss, lines_per_second: int) -> str:
    told = []
    if loss.throttled:
        told.append(
            f"{loss.throttled} lines or requests of this application were not logged: there were"
            f" more than {lines_per_second} a second (CONNECTORY_LOGS_LINES_PER_SECOND)"
        )
    if loss.dropped:
        told.append(
            f"{loss.dropped} lines or requests of this application were not logged: the database"
            " could not keep up"
        )
    return "; ".join(told)
