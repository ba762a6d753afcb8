"""The text in which Prometheus reads metrics (exposition format 0.0.4), from the table of families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lsmproc.metrics.families import (
    FAMILIES,
    LATENCY_NAME,
    LATENCY_TEXT,
    PREFIX,
    UP_NAME,
    UP_TEXT,
    latencies,
)
from lsmproc.metrics.store_metrics import StoreMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(stores: Iterable[StoreMetrics]) -> str:
    """All metrics of some stores."""
    stores = tuple(stores)
    lines = _head(UP_NAME, "gauge", UP_TEXT)
    lines += [_line(UP_NAME, {"db": store.db}, float(store.up)) for store in stores]
    for family in FAMILIES:
        samples = [sample for store in stores for sample in family.of(store)]
        if samples:
            lines += _head(family.name, family.kind, family.text)
            lines += [_line(family.name, labels, value) for labels, value in samples]
    return "\n".join([*lines, *_summary(stores), ""])


def _summary(stores: Iterable[StoreMetrics]) -> list[str]:
    lines = []
    for store in stores:
        for latency in latencies(store.stats):
            labels = {"db": store.db, "operation": latency.operation}
            lines += [
                _line(LATENCY_NAME, {**labels, "quantile": quantile}, seconds)
                for quantile, seconds in latency.quantiles.items()
            ]
            lines.append(_line(f"{LATENCY_NAME}_sum", labels, latency.total_seconds))
            lines.append(_line(f"{LATENCY_NAME}_count", labels, latency.count))
    return [*_head(LATENCY_NAME, "summary", LATENCY_TEXT), *lines] if lines else []


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {PREFIX}{name} {_escaped(text)}", f"# TYPE {PREFIX}{name} {kind}"]


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{PREFIX}{name}{{{inside}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
