"""One release of an application, kept running: woken, watched, started again, put to sleep."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from connectory.runtime import health
from connectory.runtime.instance import Instance, Surroundings
from connectory.runtime.model import CrashLoops, HealthCheck, Program, StartFailed, State

#: After so many deaths in a row a program is in a crash loop.
CRASH_LOOP = 5

_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 60.0
#: How often a program that starts is asked whether it is well: at first, and when it takes long.
_FIRST_PROBE, _LAST_PROBE = 0.01, 0.25

log = logging.getLogger("connectory.runtime")

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Care:
    """How programs are looked after."""

    surroundings: Surroundings
    crash_loops: CrashLoops
    sleep: Sleep
    #: How long a start may take that no deploy waits for.
    start_seconds: float
    #: After so long without a death, those before count no more.
    settled_seconds: float


def backoff(deaths: int) -> float:
    """The seconds to wait after so many deaths in a row."""
    return min(_FIRST_BACKOFF * 2.0 ** min(deaths - 1, 16), _LAST_BACKOFF)


class Supervised:
    """A release that is kept running while it is awake; asleep, it is this object and no more."""

    __slots__ = ("_care", "_keeping", "_outcome", "_stopping", "_told", "_waiting", "deaths",
                 "instance", "program", "state", "used_at")  # fmt: skip

    def __init__(self, program: Program, care: Care) -> None:
        self.program = program
        self.state = State.SLEEPING
        self.instance: Instance | None = None
        #: Deaths in a row.
        self.deaths = 0
        self.used_at = care.surroundings.clock()
        self._care = care
        self._waiting = 0
        self._told = False
        #: What becomes of the start that is under way, or of the next.
        self._outcome: asyncio.Future[None] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._keeping: set[asyncio.Task[None]] = set()

    @property
    def calls(self) -> int:
        """How many calls are under way or wait for the start."""
        return self._waiting + (self.instance.calls if self.instance is not None else 0)

    @property
    def asleep(self) -> bool:
        """Whether nothing of it runs, nor is about to."""
        return self._stopping is None

    def take(self) -> Instance | None:
        """The instance that is well, for one more call; None where there is none."""
        instance = self.instance
        if instance is not None and self.state is State.HEALTHY:
            instance.calls += 1
            return instance
        return None

    def wake(self, seconds: float | None = None) -> None:
        """Begin to keep it running, if that has not begun; its first start may take `seconds`."""
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self.state, self._stopping = State.STARTING, loop.create_future()
            self._outcome = loop.create_future()
            keeping = loop.create_task(
                self._keep(self._stopping, seconds or self._care.start_seconds),
                name=f"keep {self.program.application_id}",
            )
            self._keeping.add(keeping)
            keeping.add_done_callback(self._keeping.discard)

    async def woken(self) -> None:
        """Wait for the start that is under way, beginning one where there is none.

        Raises:
            StartFailed: it failed, or the program is in a crash loop.
        """
        self.wake()
        outcome = self._outcome
        if outcome is None:
            return
        if self.deaths >= CRASH_LOOP and self.state is State.FAILING:
            raise StartFailed(
                f"{self.program.application} crashes again and again; it is started again after"
                f" {backoff(self.deaths):g} s"
            )
        self._waiting += 1
        try:
            await asyncio.shield(outcome)
        finally:
            self._waiting -= 1
            self.used_at = self._care.surroundings.clock()

    async def stop(self, state: State = State.STOPPED) -> None:
        """End it. When this returns, nothing of it runs."""
        self.begin_stop(state)
        if self._keeping:
            await asyncio.wait(set(self._keeping))

    def begin_stop(self, state: State) -> None:
        """Have it ended, and return at once: from now on nobody is given its instance."""
        self.state, self.instance = state, None
        stopping, self._stopping = self._stopping, None
        if stopping is not None:
            stopping.set_result(None)
        self._decide(StartFailed(f"{self.program.application} was stopped"))

    async def _keep(self, stopping: "asyncio.Future[None]", seconds: float) -> None:
        """Start it again and again until it is to stop."""
        while not stopping.done():
            self.state = State.STARTING
            instance: Instance | None = None
            try:
                instance = await Instance.start(self.program, self._care.surroundings)
                await self._until_healthy(instance, stopping, seconds)
                if not stopping.done():
                    self._is_healthy(instance)
                    await self._until_unwell(instance, stopping)
            except StartFailed as why:
                if not stopping.done():
                    self._failed(why)
            except Exception:
                log.exception("%s could not be kept running", self.program.application_id)
                if not stopping.done():
                    self._failed(StartFailed(f"{self.program.application} could not be started"))
            finally:
                if self.instance is instance:
                    self.instance = None
                if instance is not None:
                    await instance.stop()
            if not stopping.done():
                await self._pause(backoff(self.deaths), stopping)
                seconds = self._care.start_seconds

    async def _until_healthy(
        self, instance: Instance, stopping: "asyncio.Future[None]", seconds: float
    ) -> None:
        """Return when it is well, or is to stop.

        Raises:
            StartFailed: it ended, or was not well in time.
        """
        clock = self._care.surroundings.clock
        until, pause = clock() + seconds, _FIRST_PROBE
        check, name = self.program.health_check, self.program.application
        while not stopping.done():
            if instance.ended.done():
                await instance.last_words()
                raise instance.failure(f"{name} {instance.exit_words} before it was healthy")
            fault = await _fault(instance, check)
            if not fault and not instance.ended.done():
                return
            if clock() >= until:
                raise instance.failure(
                    f"{name} was not healthy within {seconds:g} s: {fault or 'it ended'}"
                )
            await asyncio.wait({instance.ended, stopping}, timeout=pause)
            pause = min(pause * 1.2, _LAST_PROBE)

    async def _until_unwell(self, instance: Instance, stopping: "asyncio.Future[None]") -> None:
        """Return when it is to stop.

        Raises:
            StartFailed: it died, or its health check failed too often in a row.
        """
        check, clock = self.program.health_check, self._care.surroundings.clock
        settles = clock() + self._care.settled_seconds
        unwell = 0
        while True:
            until_settled = settles - clock() if self.deaths else None
            interval = float(check.interval_seconds) if check else None
            pauses = [each for each in (until_settled, interval) if each is not None]
            if await self._pause(min(pauses) if pauses else None, stopping, instance.ended):
                break
            if self.deaths and clock() >= settles:
                self._is_settled()
            if check is not None:
                fault = await health.answers(instance.address[1], check)
                unwell = unwell + 1 if fault else 0
                if unwell >= check.unhealthy_threshold and not stopping.done():
                    raise instance.failure(
                        f"{self.program.application} failed its health check {unwell} times in a"
                        f" row: {fault}"
                    )
        if not stopping.done():
            await instance.last_words()
            raise instance.failure(f"{self.program.application} {instance.exit_words}")

    async def _pause(self, seconds: float | None, *endings: "asyncio.Future[None]") -> bool:
        """Wait so long, or until one of the endings; whether it was one of them."""
        if seconds is None:
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            return True
        sleeping = asyncio.ensure_future(self._care.sleep(max(seconds, 0)))
        try:
            await asyncio.wait({*endings, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        return any(each.done() for each in endings)

    def _is_healthy(self, instance: Instance) -> None:
        self.instance, self.state = instance, State.HEALTHY
        self.used_at = self._care.surroundings.clock()
        self._decide(None)

    def _is_settled(self) -> None:
        self.deaths = 0
        if self._told:
            self._told = False
            self._care.crash_loops(self.program, "")

    def _failed(self, why: StartFailed) -> None:
        self.state, self.instance = State.FAILING, None
        self.deaths += 1
        if self.deaths == CRASH_LOOP:
            self._told = True
            self._care.crash_loops(self.program, str(why))
        self._decide(why)
        self._outcome = asyncio.get_running_loop().create_future()

    def _decide(self, fault: StartFailed | None) -> None:
        outcome = self._outcome
        if outcome is None or outcome.done():
            return
        if fault is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(fault)
            outcome.exception()  # nobody need be waiting


async def _fault(instance: Instance, check: HealthCheck | None) -> str:
    """Why an instance that starts is not well; "" where it is."""
    port = instance.address[1]
    if not await health.is_open(instance.pid, port):
        return "nothing listens on port 8080"
    return await health.answers(port, check) if check is not None else ""
