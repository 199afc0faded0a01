"""After a restart: applications that stay up are started a few at a time.

All at once, on a node with hundreds of them, each start would take so long that none was healthy in
its time, and requests would wait for all of them. Who is called does not wait for its turn.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from connectory.runtime.model import StartFailed, State
from connectory.runtime.supervision import Supervised

#: Starts at a time for each core: a start waits for disk and network about as long as it computes.
STARTS_PER_CORE: Final = 2
#: After so long a start has done its work, or hangs: the next one need not wait for it.
TURN_SECONDS: Final = 10.0


def starts_at_once() -> int:
    """How many starts this machine bears at a time."""
    return STARTS_PER_CORE * (os.cpu_count() or 1)


class Warming:
    """Starts what is to stay up, in the order in which it came."""

    def __init__(
        self,
        most: int,
        seconds: float,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """Make it: `most` starts at a time, each for `seconds` at most before the next begins.

        `spawn` makes a task of a coroutine.
        """
        self._most = most
        self._seconds = seconds
        self._spawn = spawn
        self._waiting: deque[Supervised] = deque()
        self._turns = 0

    def add(self, supervised: Supervised) -> None:
        """Start one when its turn comes, unless it was called or ended before."""
        self._waiting.append(supervised)
        if self._turns < self._most:
            self._turns += 1
            self._spawn(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                supervised = self._waiting.popleft()
                if supervised.state is State.SLEEPING:
                    with contextlib.suppress(StartFailed, TimeoutError):
                        async with asyncio.timeout(self._seconds):
                            await supervised.woken()
        finally:
            self._turns -= 1
