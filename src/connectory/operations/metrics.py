"""What `/metrics` shows, for Prometheus."""

from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from connectory.http.requestlog import BUCKETS, Measures

#: A gauge or counter of another slice: name, meaning, and a function that tells its value.
Reading = tuple[str, str, Callable[[], float]]


class _Requests:
    """Turns the measures of requests into Prometheus' families when they are asked for."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        seconds = HistogramMetricFamily(
            "connectory_http_request_duration_seconds",
            "How long requests took, by route, method and status.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), latencies in sorted(self._measures.series.items()):
            counts = list(accumulate(latencies.buckets))
            bounds = [*map(str, BUCKETS), "+Inf"]
            seconds.add_metric(
                (route, method, str(status)),
                list(zip(bounds, map(float, counts), strict=True)),
                sum_value=latencies.seconds,
            )
        yield seconds


class _Readings:
    """Reads gauges and counters when they are asked for."""

    def __init__(self, gauges: Iterable[Reading], counters: Iterable[Reading]) -> None:
        self._gauges, self._counters = tuple(gauges), tuple(counters)

    def collect(self) -> Iterable[Metric]:
        for name, meaning, read in self._gauges:
            yield GaugeMetricFamily(name, meaning, value=read())
        for name, meaning, read in self._counters:
            yield CounterMetricFamily(name, meaning, value=read())


class Metrics:
    """The exposition of one node."""

    def __init__(
        self, measures: Measures, gauges: Iterable[Reading], counters: Iterable[Reading]
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Requests(measures))
        self._registry.register(_Readings(gauges, counters))

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)
