"""Threads for calls that may never return, such as one of the machine's resolver."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DaemonThreads:
    """Runs calls in threads that a process does not wait for at its end.

    The threads of `concurrent.futures` are waited for, and so are those of `asyncio.to_thread`: a
    call that hangs would keep the process alive.
    """

    def __init__(self, most: int, *, name: str) -> None:
        """Make it; so many calls run at once, and others wait. One that nobody awaits counts."""
        self._name = name
        self._room = asyncio.Semaphore(most)

    async def run(self, call: Callable[[], T]) -> T:
        """What a call gives, or raises; whoever is cancelled leaves it alone."""
        loop = asyncio.get_running_loop()
        await self._room.acquire()
        done: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                settle = functools.partial(_give, done, call())
            except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
                settle = functools.partial(_fail, done, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(self._room.release)
                loop.call_soon_threadsafe(settle)

        try:
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread more
            self._room.release()
            raise
        return await done


def _give(done: "asyncio.Future[T]", result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: "asyncio.Future[T]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
