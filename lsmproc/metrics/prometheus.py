"""The metrics for prometheus_client: ``REGISTRY.register(PrometheusCollector(db))``. Needs the extra ``metrics``.

Each scrape asks the stores once. In a service of several processes each collects its own stores: Prometheus'
multiprocess mode takes no custom collectors, and none is needed, because a store has one owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsmproc.metrics.families import FAMILIES, LATENCY_NAME, LATENCY_TEXT, PREFIX, UP_NAME, UP_TEXT, latencies
from lsmproc.metrics.store_metrics import looks_of

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as _error:
    raise ImportError("lsmproc.metrics.prometheus needs prometheus_client: pip install lsmproc[metrics]") from _error

if TYPE_CHECKING:
    from lsmproc.store import LSMStore


class PrometheusCollector(Collector):
    """The metrics of open stores. A store that was closed is ``up 0`` and nothing else."""

    def __init__(self, *stores: LSMStore) -> None:
        """Collect from ``stores``. Raises ValueError without one."""
        self._look = looks_of(*stores)

    def collect(self) -> Iterator[Metric]:
        """All metrics of all stores, as they are now."""
        stores = tuple(self._look())
        up = GaugeMetricFamily(PREFIX + UP_NAME, UP_TEXT, labels=["db"])
        for store in stores:
            up.add_metric([store.db], float(store.up))
        yield up
        for family in FAMILIES:
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(PREFIX + family.name, family.text, labels=[])
            for store in stores:
                for labels, value in family.of(store):
                    # The name of a counter's family has no _total, that of its samples has.
                    metric.add_sample(PREFIX + family.name, labels, value)
            if metric.samples:
                yield metric
        summary = Metric(PREFIX + LATENCY_NAME, LATENCY_TEXT, "summary")
        for store in stores:
            for latency in latencies(store.stats):
                labels = {"db": store.db, "operation": latency.operation}
                for quantile, seconds in latency.quantiles.items():
                    summary.add_sample(summary.name, {**labels, "quantile": quantile}, seconds)
                summary.add_sample(f"{summary.name}_sum", labels, latency.total_seconds)
                summary.add_sample(f"{summary.name}_count", labels, latency.count)
        if summary.samples:
            yield summary

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask the stores."""
        return []
