"""The metrics as OpenTelemetry instruments, read by the SDK as an exporter does."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum

import lsmproc
from lsmproc.metrics.families import FAMILIES
from lsmproc.metrics.opentelemetry import instrument, name_and_unit


def test_instruments_export_the_same_figures(store: lsmproc.LSMStore) -> None:
    """With units; counters are sums that only grow."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrument(store, meter=provider.get_meter("test"))
    exported = _exported(reader)
    puts = exported["lsmproc_put"]
    assert isinstance(puts.data, Sum)
    assert puts.data.is_monotonic
    assert [(200, {"db": store.path})] == [(point.value, point.attributes) for point in puts.data.data_points]
    levels = exported["lsmproc_size_at_level_bytes"]
    assert isinstance(levels.data, Gauge)
    assert ("By", 7) == (levels.unit, len(levels.data.data_points))
    quantiles = exported["lsmproc_operation_seconds"].data.data_points
    assert {"0.5", "0.99", "0.999", "1"} == {point.attributes["quantile"] for point in quantiles}
    assert 200 in {point.value for point in exported["lsmproc_operation_seconds_count"].data.data_points}
    store.close()
    provider.shutdown()


def test_names_lose_the_suffix_of_counters_and_stay_different() -> None:
    """An exporter to Prometheus makes the same names of them."""
    assert ("block_cache_usage_bytes", "By") == name_and_unit("block_cache_usage_bytes")
    assert ("stall_seconds", "s") == name_and_unit("stall_seconds_total")
    assert ("rate_limiter_rate_bytes_per_second", "By/s") == name_and_unit("rate_limiter_rate_bytes_per_second")
    assert ("num_snapshots", "") == name_and_unit("num_snapshots")
    named = [name_and_unit(family.name)[0] for family in FAMILIES]
    assert sorted(set(named)) == sorted(named)


def _exported(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
