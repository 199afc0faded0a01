"""Firing: jobs that are due run, each on the one node that looks after it.

All of it lives in the event loop. A run is durable before its call is made, and what it came to
after; a run that the database has as under way, and that is not here, was another server's, which
stopped.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Final

from msgspec import Struct

from connectory.contract.jobs import JobRunState
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.database.shards import shard_of
from connectory.gateway.posting import Answer, Post, post
from connectory.gateway.server import Gateway
from connectory.kernel import ids
from connectory.kernel.clock import SECOND, Clock, to_rfc3339
from connectory.kernel.drain import Drain
from connectory.runtime.model import StartFailed
from connectory.schedule import store
from connectory.schedule.model import PUT_BACK, Begun, Due, Ended, Job, ended, stopped

log = logging.getLogger(__name__)

#: As Google's scheduler names itself.
AGENT: Final = "Google-Cloud-Scheduler"
#: How long an application may take to answer.
RUN_SECONDS: Final = 1_800.0
_BODY: Final = b"{}"
#: How often a node asks what is due.
_LOOK_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 1.0
#: How long the end of a server waits for the database, which may hang.
_LAST_SECONDS: Final = 1.0
#: How many jobs are begun in one transaction, and how many asleep are woken at once.
_BATCH: Final = 256
_WAKING: Final = 64
#: How many calls are under way at once. Most of the time of a long one costs next to nothing.
_CALLS: Final = 2_048
#: How many looks go by from one to the next for clocks that were put back.
_CLOCK_LOOKS: Final = 60
#: How long a job that is due waits for its application, which another node had before.
_PATIENCE: Final = 60 * SECOND


class Counted(Struct):
    """What was counted since the start."""

    succeeded: int = 0
    failed: int = 0


class Firing:
    """The runs of a node: of those applications that it looks after."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        gateway: Gateway,
        *,
        shards: Callable[[], Collection[int]],
    ) -> None:
        """Make it; `shards` are those that this node holds."""
        self._database = database
        self._clock = clock
        self._gateway = gateway
        self._shards = shards
        #: Runs that began here and whose end is not durable yet, by their ids.
        self._mine: dict[int, Begun] = {}
        #: Shards of which runs are being begun; replaced, never changed.
        self._beginning: frozenset[int] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes: list[Ended] = []
        self._waking = asyncio.Semaphore(_WAKING)
        self._looks = 0
        self._looking = Periodic(
            self._look, every=_LOOK_SECONDS, failure="jobs cannot be looked for"
        )
        self._writing = Periodic(
            self._write, every=_RETRY_SECONDS, failure="what runs came to cannot be written now"
        )
        #: Looks for jobs now: something has changed.
        self.look = self._looking.now
        #: The same, from any thread.
        self.look_soon = self._looking.soon
        #: Applications of which a run has ended since somebody asked.
        self.ended_of: set[str] = set()
        self.counted = Counted()

    @property
    def running(self) -> int:
        """How many runs are under way here."""
        return len(self._tasks)

    def start(self) -> None:
        """Begin to fire."""
        self._looking.start()
        self._writing.start()

    def retire(self) -> None:
        """Begin no run any more; `stop` is to follow."""
        # What is being begun is begun: nobody would call it any more, and its time is over.
        self._looking.retire()

    async def stop(self, seconds: float) -> None:
        """Begin no run any more, and wait for those under way, so many seconds at most."""
        drain = Drain(seconds)
        drain.begin()
        self.retire()
        await self._looking.end(min(drain.left(), _LAST_SECONDS))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain.left())
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._writing.end()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._write()
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("what runs came to was not written: %r", error)

    def busy(self, shard: int) -> bool:
        """Whether a run of a shard is under way here, in any thread."""
        mine = self._of_mine()
        return shard in self._beginning or any(shard_of(each) == shard for each in mine)

    def _of_mine(self) -> list[str]:
        begun = list(self._mine.values())  # in one step: other threads ask
        return [each.job.application_id for each in begun]

    async def _look(self) -> None:
        """Begin what is due, and end what other servers left."""
        if self._looks % _CLOCK_LOOKS == 0:
            await self._heed_the_clock()
        self._looks += 1
        shards = self._shards()
        if not shards:
            return
        here = set(self._mine) | {each.run.id for each in self._outcomes}
        there = await self._database.reading(store.under_way, shards)
        waiting = [each for each in there if each.run.state is JobRunState.QUEUED]
        for each in there:
            if each.run.state is JobRunState.RUNNING and each.run.id not in here:
                self._end(stopped(each.run, self._clock()))
        room = _CALLS - len(self._tasks)
        if waiting and room > 0:
            async with self._held(each.job for each in waiting[:room]) as held:
                still = [each for each in waiting[:room] if each.job.application_id in held]
                now = self._clock()
                self._call(await self._database.writing(store.claim, still, now))
        count = _BATCH
        while count == _BATCH and not self._looking.retired:
            count = await self._fire(min(_BATCH, _CALLS - len(self._tasks)))

    async def _fire(self, limit: int) -> int:
        """Begin runs that are due; how many were found."""
        shards = self._shards()
        if limit <= 0 or not shards:
            return 0
        due = await self._database.reading(store.due, self._clock(), shards, limit)
        if due:
            async with self._held(each.job for each in due) as held:
                still = [
                    each for each in due if each.job.application_id in held and self._may_run(each)
                ]
                chosen = [(each, f"job-{ids.new_id()}") for each in still]
                begun = await self._database.writing(store.begin, chosen, self._clock())
                self._call(begun)
                return len(due) if begun else 0  # who waits is looked for at the next look
        return len(due)

    def _may_run(self, due: Due) -> bool:
        """Whether an application runs here, or will not come: a node that took it over builds it.

        What never comes is a run that failed, so that it is seen.
        """
        if self._gateway.runtime.serving(due.job.application_id) is not None:
            return True
        return due.job.next_at is None or self._clock() - due.job.next_at >= _PATIENCE

    @contextlib.asynccontextmanager
    async def _held(self, jobs: Iterable[Job]) -> AsyncIterator[set[str]]:
        """The applications of jobs whose shards stay here while the block runs.

        First it is said what is begun, then asked what is held. Whoever gives a shard up says so
        first, and then asks what is under way: so one of both hears of the other.
        """
        applications = [each.application_id for each in jobs]
        self._beginning = frozenset(map(shard_of, applications))
        try:
            held = self._shards()
            yield {each for each in applications if shard_of(each) in held}
        finally:
            self._beginning = frozenset()

    async def _heed_the_clock(self) -> None:
        shards, count = self._shards(), _BATCH
        while shards and count == _BATCH:
            now = self._clock()
            found = await self._database.reading(store.put_back, now + PUT_BACK, shards, _BATCH)
            count = len(found)
            if found:
                log.warning("the clock was put back: %d schedules are reckoned anew", count)
                await self._database.writing(store.reckon_anew, found, now)

    def _call(self, begun: Collection[Begun]) -> None:
        for each in begun:
            self._mine[each.run.id] = each
            task = asyncio.get_running_loop().create_task(self._run(each))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, begun: Begun) -> None:
        run = begun.run
        try:
            outcome = ended(run, await self._answer(begun), self._clock())
        except asyncio.CancelledError:
            outcome = stopped(run, self._clock())
        except Exception:
            log.exception("a run of a job failed")
            answer = Answer(status=0, text="a fault of the server", seconds=0.0)
            outcome = ended(run, answer, self._clock())
        self._end(outcome)

    async def _answer(self, begun: Begun) -> Answer:
        job, run, runtime = begun.job, begun.run, self._gateway.runtime
        try:
            # While it is held it does not fall asleep; where it sleeps, few are woken at once.
            address = runtime.ready(job.application_id)
            if address is None:
                async with self._waking:
                    address = await runtime.address(job.application_id)
        except StartFailed as why:
            return Answer(status=0, text=f"the application did not start: {why.reason}", seconds=0)
        except KeyError:
            return Answer(status=0, text="the application does not run here", seconds=0)
        try:
            return await post(
                self._gateway,
                Post(
                    route=job.route,
                    path=job.endpoint,
                    body=_BODY,
                    headers=b"X-CloudScheduler: true\r\nX-CloudScheduler-JobName: %b\r\n"
                    b"X-CloudScheduler-ScheduleTime: %b\r\n"
                    % (job.application.encode(), to_rfc3339(run.due_at).encode()),
                    correlation_id=run.correlation_id,
                    agent=AGENT,
                    seconds=RUN_SECONDS,
                ),
            )
        except KeyError:
            return Answer(status=0, text="the application was removed", seconds=0)
        finally:
            runtime.released(job.application_id, address)

    # What runs come to

    def _end(self, outcome: Ended) -> None:
        self._outcomes.append(outcome)
        self._writing.now()

    async def _write(self) -> None:
        outcomes = self._outcomes[:]
        if not outcomes:
            return
        await self._database.writing(store.end, outcomes)
        del self._outcomes[: len(outcomes)]
        for each in outcomes:
            self._mine.pop(each.run.id, None)
            self.ended_of.add(each.run.application_id)
            if each.state is JobRunState.SUCCEEDED:
                self.counted.succeeded += 1
            else:
                self.counted.failed += 1
        # A job that was due meanwhile begins now.
        self.look()
