"""Programs as processes of this machine, behind a `Containment`."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from connectory.containment.model import Containment, Network
from connectory.runtime.instance import Instance, Ports, Surroundings
from connectory.runtime.model import CrashLoops, Output, Program, StartFailed, State
from connectory.runtime.supervision import Care, Sleep, Supervised
from connectory.runtime.warming import TURN_SECONDS, Warming, starts_at_once

#: What an application does, for who counts them; `restarting`: it died, and is started again.
Standing = Literal["running", "starting", "restarting", "asleep"]
STANDINGS: Final[tuple[Standing, ...]] = get_args(Standing)

#: How long calls to a release that was replaced may go on: the longest that a request may take.
DRAIN_SECONDS = 300.0
#: Calls of a containment that block at the same time; each is short, but for those of programs
#: that do not want to end.
_THREADS = 64


@dataclass(slots=True)
class _Application:
    """The releases of one application: the one that takes the calls, and those beside it."""

    current: Supervised | None = None
    candidates: dict[int, Supervised] = field(default_factory=dict)
    #: Replaced ones, until their calls have ended.
    draining: list[Supervised] = field(default_factory=list)

    def all(self) -> list[Supervised]:
        current = [self.current] if self.current else []
        return [*current, *self.candidates.values(), *self.draining]


class Processes:
    """The process implementation of `Runtime`; one event loop uses it, and nothing in it blocks.

    `clock` tells seconds that never go back; `sleep` waits for backoffs and health checks. After a
    restart `starts` applications start at a time, each for `turn_seconds` before the next follows.
    """

    def __init__(
        self,
        containment: Containment,
        *,
        output: Output,
        crash_loops: CrashLoops,
        network: Network = Network.PUBLIC,
        idle_seconds: float = 900.0,
        start_seconds: float = 120.0,
        settled_seconds: float = 60.0,
        grace_seconds: float = 10.0,
        drain_seconds: float = DRAIN_SECONDS,
        starts: int | None = None,
        turn_seconds: float = TURN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="runtime")
        self._surroundings = Surroundings(
            containment=containment,
            ports=Ports(),
            threads=self._threads,
            output=output,
            clock=clock,
            network=network,
            grace_seconds=grace_seconds,
        )
        self._care = Care(
            surroundings=self._surroundings,
            crash_loops=crash_loops,
            sleep=sleep,
            start_seconds=start_seconds,
            settled_seconds=settled_seconds,
        )
        self._idle_seconds = idle_seconds
        self._drain_seconds = drain_seconds
        self._clock = clock
        self._applications: dict[str, _Application] = {}
        #: By port: whom a call that ends belongs to.
        self._instances: dict[int, tuple[Instance, Supervised]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._warming = Warming(starts or starts_at_once(), turn_seconds, self._spawn)

    async def run(self, program: Program, *, seconds: float) -> None:
        """Start a program beside whatever release runs, and return when it is healthy.

        Raises:
            StartFailed: it was not healthy in that time; nothing of it is left.
        """
        application = self._applications.setdefault(program.application_id, _Application())
        again = application.candidates.pop(program.release, None)
        candidate = Supervised(program, self._care)
        application.candidates[program.release] = candidate
        try:
            if again is not None:
                await again.stop()
            candidate.wake(seconds)
            await candidate.woken()
        except BaseException:
            if application.candidates.get(program.release) is candidate:
                del application.candidates[program.release]
            self._forget_empty(program.application_id)
            await self._to_the_end(candidate.stop())
            raise

    async def discard(self, application_id: str, release: int) -> None:
        """Stop a release that was never switched to; nothing happens where there is none."""
        application = self._applications.get(application_id)
        candidate = application.candidates.pop(release, None) if application else None
        if candidate is not None:
            self._forget_empty(application_id)
            await self._to_the_end(candidate.stop())

    async def switch(self, application_id: str, release: int) -> None:
        """Let a release that is healthy take the calls; the one before drains and is stopped.

        Raises:
            KeyError: it was not run, or has gone.
        """
        application = self._applications[application_id]
        current = application.current
        runs = current is not None and current.program.release == release
        if runs and release not in application.candidates:
            return
        application.current = application.candidates.pop(release)
        application.current.used_at = self._clock()
        replaced = [
            application.candidates.pop(number)
            for number in list(application.candidates)
            if number < release
        ]
        if current is not None:
            replaced.append(current)
        application.draining += replaced
        for each in replaced:
            self._spawn(self._drain(application, each))
        self._sweep()

    async def restore(self, program: Program) -> None:
        """Take over a release that was switched to before a restart, or on another node.

        An older one is replaced and drains. Idle ones sleep until called; those that stay up are
        started a few at a time, and at once when they are called. Returns at once; what fails is
        tried again with backoff.
        """
        application = self._applications.setdefault(program.application_id, _Application())
        current = application.current
        if current is not None and current.program.release >= program.release:
            return  # it runs already, or what followed it does
        application.current = Supervised(program, self._care)
        if current is not None:
            application.draining.append(current)
            self._spawn(self._drain(application, current))
        if program.warm:
            self._warming.add(application.current)
        self._sweep()

    async def remove(self, application_id: str) -> None:
        """Stop every release of an application; nothing of it is left when this returns."""
        application = self._applications.pop(application_id, None)
        if application is not None:
            await self._to_the_end(_stop_all(application.all()))

    def ready(self, application_id: str) -> tuple[str, int] | None:
        """The address at once, where the application is awake; it counts as a call."""
        application = self._applications.get(application_id)
        current = application.current if application is not None else None
        if current is None:
            return None
        instance = current.take()
        if instance is None:
            return None
        self._instances[instance.address[1]] = (instance, current)
        return instance.address

    async def address(self, application_id: str) -> tuple[str, int]:
        """Host and port of the release that takes the calls, woken where it sleeps.

        All callers wait for one start. Whoever calls says when the call ends, by `released`.

        Raises:
            KeyError: there is none.
            StartFailed: it did not wake.
        """
        while True:
            ready = self.ready(application_id)
            if ready is not None:
                return ready
            current = self._applications[application_id].current
            if current is None:
                raise KeyError(application_id)
            try:
                await current.woken()
            except StartFailed:
                application = self._applications[application_id]
                if application.current is current:
                    raise
                # Another release has taken its place meanwhile.

    def released(self, application_id: str, address: tuple[str, int]) -> None:
        """A call to an address that `address` or `ready` gave has ended."""
        known = self._instances.get(address[1])
        if known is None or known[0].program.application_id != application_id:
            return
        instance, supervised = known
        instance.calls -= 1
        if not instance.calls:
            del self._instances[address[1]]
        supervised.used_at = self._clock()

    def state(self, application_id: str) -> State:
        """Where the release that takes the calls is; STOPPED where there is none."""
        application = self._applications.get(application_id)
        if application is None or application.current is None:
            return State.STOPPED
        return application.current.state

    def serving(self, application_id: str) -> int | None:
        """The number of the release that takes the calls; None where none does."""
        application = self._applications.get(application_id)
        current = application.current if application is not None else None
        return None if current is None else current.program.release

    def count(self, standing: Standing) -> int:
        """How many applications there are of whose release that takes the calls this is true."""
        currents = (each.current for each in self._applications.values())
        return sum(each is not None and _standing(each) == standing for each in currents)

    async def close(self, seconds: float = 10.0) -> None:
        """Stop everything: asked first, and by force what has not ended in that time."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        everything = [each for one in self._applications.values() for each in one.all()]
        self._applications.clear()
        self._surroundings.grace_seconds = seconds
        await self._to_the_end(_stop_all(everything))
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        self._threads.shutdown(wait=False)

    def put_idle_to_sleep(self) -> None:
        """Stop those that nobody has called for long enough; the next call wakes them."""
        longest = self._clock() - self._idle_seconds
        for application in self._applications.values():
            current = application.current
            if (
                current is not None
                and not current.asleep
                and not current.program.warm
                and not current.calls
                and current.used_at <= longest
            ):
                current.begin_stop(State.SLEEPING)

    async def _drain(self, application: _Application, replaced: Supervised) -> None:
        """Stop a release that was replaced, once its calls have ended."""
        seconds = replaced.program.drain_seconds
        until = self._clock() + (self._drain_seconds if seconds is None else seconds)
        while replaced.calls and self._clock() < until:  # noqa: ASYNC110 - rare, and never long
            await asyncio.sleep(0.05)
        await replaced.stop()
        with contextlib.suppress(ValueError):
            application.draining.remove(replaced)

    def _sweep(self) -> None:
        """Look for idle ones from now on."""
        if self._sweeping is None:

            async def sweep() -> None:
                while True:
                    await asyncio.sleep(min(self._idle_seconds / 4, 10.0))
                    self.put_idle_to_sleep()

            self._sweeping = asyncio.get_running_loop().create_task(sweep(), name="idle")

    def _forget_empty(self, application_id: str) -> None:
        application = self._applications.get(application_id)
        if application is not None and not application.all():
            del self._applications[application_id]

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _to_the_end(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Wait for work that goes on where whoever waits is cancelled."""
        await asyncio.shield(self._spawn(work))


def _standing(supervised: Supervised) -> Standing:
    match supervised.state:
        case State.HEALTHY:
            return "running"
        case State.SLEEPING | State.STOPPED:
            return "asleep"
        case State.STARTING if not supervised.deaths:
            return "starting"
        case _:
            return "restarting"


async def _stop_all(everything: list[Supervised]) -> None:
    await asyncio.gather(*(each.stop() for each in everything))
