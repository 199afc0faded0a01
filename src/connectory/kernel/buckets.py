"""Rates that are kept by buckets of tokens, one for each of those that take some."""

import threading
import time
from collections.abc import Callable


class Buckets:
    """A bucket for each name, which holds what comes in in a time, and no more.

    Who was silent for that time may take a bucket at once. There are as many buckets as there are
    names that have taken some. It may be used in any thread.
    """

    def __init__(
        self, size: float, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make it: `size` tokens come in in `seconds`; `clock` tells seconds that never go back."""
        self._size = size
        self._per_second = size / seconds
        self._clock = clock
        self._lock = threading.Lock()
        #: Name → tokens left, which may be less than none, and when that was.
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, count: float = 1) -> float:
        """Take tokens if that many are there: 0; else in how many seconds they will be."""
        with self._lock:
            left, now = self._left(name)
            if left < count:
                return (count - left) / self._per_second
            self._buckets[name] = (left - count, now)
            return 0.0

    def charge(self, name: str, count: float) -> None:
        """Take tokens that are owed, whether they are there or not."""
        with self._lock:
            left, now = self._left(name)
            self._buckets[name] = (left - count, now)

    def _left(self, name: str) -> tuple[float, float]:
        now = self._clock()
        left, since = self._buckets.get(name, (self._size, now))
        return min(self._size, left + (now - since) * self._per_second), now
