"""What a node does again and again in its event loop: look for what is due, remove what is over.

One step follows the other after so many seconds, or at once where somebody has said meanwhile that
something has changed. A database that is away, or a step that fails otherwise, ends nothing: the
next turn tries again. That is logged once for as long as the reason is the same.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from connectory.database.engine import DatabaseUnavailable

log = logging.getLogger(__name__)


class Periodic:
    """A step that is taken again and again, from `start` to `end`."""

    def __init__(
        self, step: Callable[[], Awaitable[object]], *, every: float, failure: str
    ) -> None:
        """Make it; `every` is in seconds, and `failure` what is said of a step that failed."""
        self._step = step
        self._every = every
        self._failure = failure
        self._told = ""
        #: Whether no step is begun any more.
        self.retired = False
        self._attention = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take the first step, and go on."""
        self.retired = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._go_on(), name=self._failure)

    def now(self) -> None:
        """Take a step now; after the one that is under way, which may not see what has changed."""
        self._attention.set()

    def soon(self) -> None:
        """The same, from any thread; nothing happens where the loop has ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.now)

    def retire(self) -> None:
        """Begin no step any more; the one that is under way goes on. `end` is to follow."""
        self.retired = True
        self.now()

    async def end(self, seconds: float = 0.0) -> None:
        """Begin no step any more, and give the one under way so long: its database may hang."""
        self.retire()
        if self._task is not None:
            if seconds:
                await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Go on while the block runs; at its end, the step under way is cancelled."""
        self.start()
        try:
            yield
        finally:
            await self.end()

    async def _go_on(self) -> None:
        while not self.retired:
            self._attention.clear()
            await self._try()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._attention.wait()

    async def _try(self) -> None:
        told = ""
        try:
            await self._step()
        except DatabaseUnavailable as error:
            told = str(error)
            if told != self._told:
                log.warning("%s: %s", self._failure, error)
        except Exception as error:
            told = repr(error)
            if told != self._told:
                log.exception("%s", self._failure)
        self._told = told
