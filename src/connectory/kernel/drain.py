"""How long a server that stops waits for what is under way."""

import time
from collections.abc import Callable


class Drain:
    """One bound for everything that a server waits for, side by side, from one moment on.

    Whoever waits after another has only what is left of it, in which its own work has gone on.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it; the seconds count from `begin`."""
        self._seconds = seconds
        self._clock = clock
        self._began: float | None = None

    def begin(self) -> None:
        """Count from now on; nothing happens where it has begun."""
        self.left()

    def left(self) -> float:
        """How many seconds are left, 0 at least; where nobody has begun it, it begins."""
        now = self._clock()
        if self._began is None:
            self._began = now
        return max(0.0, self._began + self._seconds - now)
