"""The table of metrics, and that the text and the collector made of it say the same."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

import lsmproc
from lsmproc.metrics.exposition import exposition
from lsmproc.metrics.families import FAMILIES, LATENCY_NAME, PREFIX
from lsmproc.metrics.prometheus import PrometheusCollector
from lsmproc.metrics.store_metrics import StoreMetrics, label_of, looks_of

# Figures of work go on while two looks are taken.
MOVING = {"uptime_seconds", "oldest_snapshot_age_seconds"}


def test_names_follow_the_conventions_and_come_once() -> None:
    """Counters end with _total, nothing else does; units are the base units."""
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert not re.search(r"_(ms|micros|nanos|kb|mb|mib|percent)(_|$)", family.name)
        assert family.text
        assert not family.text.endswith(".")


def test_every_metric_has_samples_once_a_store_is_at_work(store: lsmproc.LSMStore) -> None:
    """A path in the table that the stats do not have would be silence for ever."""
    (look,) = looks_of(store)()
    from_outside = {"status_age_seconds"}
    silent = {family.name for family in FAMILIES if not list(family.of(look)) and "bloom" not in family.name}
    assert from_outside == silent


def test_metrics_are_the_figures_of_the_stats(store: lsmproc.LSMStore) -> None:
    """Some of each shape: a plain one, a sum, by level, by kind, by reason, by worker."""
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(looks_of(store)()))
        for sample in family.samples
    }
    db, stats = ("db", store.path), store.stats()

    def value(name: str, **labels: str) -> float:
        return samples[PREFIX + name, tuple(sorted([db, *labels.items()]))]

    assert 1 == value("up")
    assert 200 == value("number_keys_written_total") == value("put_total")
    assert 4 == value("number_keys_read_total")
    assert 1 == value("num_snapshots")
    assert stats.levels[-1].bytes == value("size_at_level_bytes", level="6")
    assert 1 == value("job_total", kind="flush")
    assert 20 == value("stall_trigger", reason="level 0 runs", effect="slowdown")
    assert 0 == value("is_write_stopped")
    assert 1 == value("worker_up", worker="flush-1", kind="flush")
    assert 0 < value("rate_limiter_granted_bytes_total", priority="flush") < 1 << 20
    assert 200 == value(f"{LATENCY_NAME}_count", operation="put")
    assert stats.operations["flush"].max_seconds == value(LATENCY_NAME, operation="flush", quantile="1")


def test_the_collector_and_the_text_tell_the_same(store: lsmproc.LSMStore) -> None:
    """One is for services with prometheus_client, the other for those without."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(PrometheusCollector(store))

    def samples(text: str) -> dict[str, Any]:
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.removeprefix(PREFIX) not in MOVING
        }

    ours = samples(exposition(looks_of(store)()))
    assert 100 < len(ours)
    assert ours == samples(prometheus_client.generate_latest(registry).decode())


def test_a_closed_store_is_down_and_nothing_more(store: lsmproc.LSMStore) -> None:
    """Old figures would look like living ones."""
    collector = PrometheusCollector(store)
    store.close()
    assert [("lsmproc_up", 0.0)] == [
        (sample.name, sample.value) for metric in collector.collect() for sample in metric.samples
    ]


def test_labels_are_escaped() -> None:
    """Quotes, backslashes, line ends, and bytes of a path that are no text."""
    path = label_of('a"b\\c\nd\udcff')
    text = exposition([StoreMetrics(path, False)])
    assert 'lsmproc_up{db="a\\"b\\\\c\\nd\\\\udcff"} 0.0' in text.splitlines()
    assert path == next(iter(text_string_to_metric_families(text))).samples[0].labels["db"]


def test_figures_that_a_tree_does_not_have_are_left_out() -> None:
    """The page of an older version."""
    store = StoreMetrics("/d", True, {"uptime_seconds": 5.0, "levels": []})
    text = exposition([store, replace(store, db="/e", stats={})])
    assert 'lsmproc_uptime_seconds{db="/d"} 5.0' in text.splitlines()
    assert "block_cache" not in text


def test_a_collector_of_nothing_is_refused() -> None:
    """It would export nothing and nobody would know."""
    with pytest.raises(ValueError, match="no store"):
        PrometheusCollector()
