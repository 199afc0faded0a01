"""How many requests a second a Project may make of this node."""

import math
import time
from collections.abc import Callable

from connectory.contract.errors import TooManyRequests


class Rates:
    """One bucket of tokens for each Project; a request takes one.

    A bucket holds what comes in in a second, so that a Project that was silent may send that many
    at once. There are as many buckets as there are Projects that have asked.
    """

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it; `clock` tells seconds that never go back."""
        self._per_second = per_second
        self._clock = clock
        #: Project → tokens left, and when that was.
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, project: str) -> None:
        """Count a request of a Project.

        Raises:
            TooManyRequests: it has made too many; this one is not counted.
        """
        now = self._clock()
        full = float(self._per_second)
        left, since = self._buckets.get(project, (full, now))
        left = min(full, left + (now - since) * full)
        if left < 1:
            raise TooManyRequests(
                f"This Project has made more than {self._per_second} requests a second, the most"
                " that it may (CONNECTORY_PROJECT_REQUESTS_PER_SECOND); wait",
                math.ceil((1 - left) / full),
            )
        self._buckets[project] = (left - 1, now)
