"""How many requests a second a Project may make of this node."""

import math
import time
from collections.abc import Callable

from connectory.contract.errors import TooManyRequests
from connectory.kernel.buckets import Buckets


class Rates:
    """Counts requests; a Project that was silent may send those of a second at once."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it; `clock` tells seconds that never go back."""
        self._per_second = per_second
        self._buckets = Buckets(per_second, 1.0, clock)

    def take(self, project: str) -> None:
        """Count a request of a Project.

        Raises:
            TooManyRequests: it has made too many; this one is not counted.
        """
        if wait := self._buckets.take(project):
            raise TooManyRequests(
                f"This Project has made more than {self._per_second} requests a second, the most"
                " that it may (CONNECTORY_PROJECT_REQUESTS_PER_SECOND); wait",
                math.ceil(wait),
            )
