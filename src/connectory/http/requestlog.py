"""What is kept of every request: its correlation id while it runs, and how long it took."""

import bisect
import contextvars
import re
import secrets
from collections.abc import Callable
from itertools import count

#: The correlation id of the request that the running code serves; "" outside of one. Log lines
#: carry it.
correlation_id: contextvars.ContextVar[str] = contextvars.ContextVar("correlation_id", default="")

#: What is taken over from a client: printable, no blanks, of a length that a log line bears.
_is_sane = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,256}").fullmatch

#: Upper bounds of the histogram, in seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def correlation_ids() -> Callable[[bytes | None], bytes]:
    """A function that takes over a sane id that a client sent, or makes a new one."""
    node = secrets.token_hex(12).encode()
    made = map((node + b"-%08x").__mod__, count(1))

    def choose(sent: bytes | None) -> bytes:
        if sent is not None and _is_sane(sent):
            return sent
        return next(made)

    return choose


#: Methods that are counted by name. Anybody can send any other, and each would be a series.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "(other)"


class Latencies:
    """A histogram of the seconds that requests took: those of one route, method and status."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Measures:
    """Latencies by route, method and status. Only the event loop writes."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str, int], Latencies] = {}

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (route, method, status)
        series = self.series.get(key)
        if series is None:
            if method not in _METHODS:
                key = (route, OTHER_METHOD, status)
            series = self.series.setdefault(key, Latencies())
        series.buckets[bisect.bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds
