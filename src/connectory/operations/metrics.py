"""What a node measures, for `/metrics`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connectory.http.requestlog import Measures


@dataclass(frozen=True, slots=True)
class Reading:
    """A number of another slice, read when it is asked for."""

    #: As Prometheus names it, without the `_total` of a counter.
    name: str
    meaning: str
    read: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that a node shows."""

    requests: Measures
    gauges: Sequence[Reading]
    counters: Sequence[Reading]
