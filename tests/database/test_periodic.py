"""What a node does again and again: how often, woken how, and how it ends."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from connectory.database.engine import DatabaseUnavailable
from connectory.database.periodic import Periodic

#: Nobody waits for it: a step that comes was woken.
SELDOM = 3_600.0


class Steps:
    """Steps that are counted, and that do what a test says."""

    def __init__(self, does: Callable[[], Awaitable[None]] | None = None) -> None:
        self.count = 0
        self._does = does

    async def __call__(self) -> None:
        self.count += 1
        if self._does is not None:
            await self._does()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.count < count:  # noqa: ASYNC110 - as simple as can be
                await asyncio.sleep(0.001)


def test_a_step_follows_the_other_by_itself() -> None:
    async def play() -> None:
        steps = Steps()
        async with Periodic(steps, every=0.001, failure="").going_on():
            await steps.until(3)

    asyncio.run(play())


def test_a_step_is_taken_when_somebody_says_so_from_any_thread() -> None:
    async def play() -> None:
        steps = Steps()
        periodic = Periodic(steps, every=SELDOM, failure="")
        async with periodic.going_on():
            await steps.until(1)
            periodic.now()
            await steps.until(2)
            other = threading.Thread(target=periodic.soon)
            other.start()
            await steps.until(3)
            other.join()
        periodic.soon()

    asyncio.run(play())


def test_what_changes_during_a_step_is_seen_by_another() -> None:
    async def play() -> None:
        free = asyncio.Event()

        async def wait() -> None:
            await free.wait()

        steps = Steps(wait)
        periodic = Periodic(steps, every=SELDOM, failure="")
        async with periodic.going_on():
            await steps.until(1)
            periodic.now()
            free.set()
            await steps.until(2)

    asyncio.run(play())


def test_a_database_that_is_away_is_told_once_and_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        failures: list[Exception] = [DatabaseUnavailable("away")] * 3
        failures += [DatabaseUnavailable("locked"), *[RuntimeError("a fault")] * 2]

        async def fail() -> None:
            if failures:
                raise failures.pop(0)

        steps = Steps(fail)
        async with Periodic(steps, every=0.001, failure="nothing was found").going_on():
            await steps.until(8)

    asyncio.run(play())
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("WARNING", "nothing was found: away"),
        ("WARNING", "nothing was found: locked"),
        ("ERROR", "nothing was found"),
    ]


def test_at_its_end_the_step_under_way_is_finished_and_no_other_begins() -> None:
    async def play() -> None:
        began, free, finished = asyncio.Event(), asyncio.Event(), []

        async def wait() -> None:
            began.set()
            await free.wait()
            finished.append(True)

        steps = Steps(wait)
        periodic = Periodic(steps, every=0.001, failure="")
        periodic.start()
        await began.wait()
        periodic.retire()
        asyncio.get_running_loop().call_soon(free.set)
        await periodic.end(20)
        assert finished == [True]
        assert steps.count == 1

    asyncio.run(play())


def test_a_step_that_hangs_is_waited_for_no_longer_than_was_said() -> None:
    async def play() -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        steps = Steps(hang)
        periodic = Periodic(steps, every=0.001, failure="")
        periodic.start()
        await steps.until(1)
        async with asyncio.timeout(20):
            await periodic.end(0.01)

    asyncio.run(play())
