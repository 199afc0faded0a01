"""What a node measures, for `/metrics`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from connectory.http.requestlog import Measures


@dataclass(frozen=True, slots=True)
class Reading:
    """A number of another slice, read when it is asked for."""

    #: As Prometheus names it, without the `_total` of a counter.
    name: str
    meaning: str
    read: Callable[[], float]
    #: Tells readings of the same name apart; those stand side by side.
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that a node shows."""

    requests: Measures
    gauges: Sequence[Reading]
    counters: Sequence[Reading]
