"""Metrics in Prometheus' text format.

Imported when `/metrics` is first asked for: what it needs would be a tenth of the time to start.
"""

from collections.abc import Iterable
from itertools import accumulate, groupby

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from connectory.http.requestlog import BUCKETS
from connectory.operations.metrics import Metrics, Reading


def exposition(metrics: Metrics) -> bytes:
    """The metrics as they are now."""
    registry = CollectorRegistry()
    registry.register(_Collector(metrics))
    return generate_latest(registry)


class _Collector:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        yield self._requests()
        yield from _families(GaugeMetricFamily, self._metrics.gauges)
        yield from _families(CounterMetricFamily, self._metrics.counters)

    def _requests(self) -> Metric:
        family = HistogramMetricFamily(
            "connectory_http_request_duration_seconds",
            "How long requests took, by route, method and status.",
            labels=("route", "method", "status"),
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for (route, method, status), latencies in sorted(self._metrics.requests.series.items()):
            counts = map(float, accumulate(latencies.buckets))
            family.add_metric(
                (route, method, str(status)),
                list(zip(bounds, counts, strict=True)),
                sum_value=latencies.seconds,
            )
        return family


def _families(
    kind: type[GaugeMetricFamily | CounterMetricFamily], readings: Iterable[Reading]
) -> Iterable[Metric]:
    """The readings, those of one name together."""
    for _, named in groupby(readings, key=lambda reading: reading.name):
        same = list(named)
        family = kind(same[0].name, same[0].meaning, labels=tuple(same[0].labels))
        for reading in same:
            family.add_metric(tuple(reading.labels.values()), reading.read())
        yield family
