"""The metrics as OpenTelemetry instruments: ``instrument(db, meter)``. Needs the extra ``otel`` (the API only).

Instruments are observable: they are asked when the service exports. Their names are those of the Prometheus metrics,
without the ``_total`` of counters, which an exporter to Prometheus puts back. A latency is a gauge with the attribute
``quantile`` and a counter of calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from lsmproc.metrics.families import FAMILIES, LATENCY_NAME, LATENCY_TEXT, PREFIX, UP_NAME, UP_TEXT, Family, latencies
from lsmproc.metrics.store_metrics import Look, StoreMetrics, looks_of

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
except ImportError as _error:
    raise ImportError("lsmproc.metrics.opentelemetry needs opentelemetry-api: pip install lsmproc[otel]") from _error

if TYPE_CHECKING:
    from lsmproc.store import LSMStore

_UNITS = {"_bytes_per_second": "By/s", "_bytes": "By", "_seconds": "s"}
_SAME_EXPORT_SECONDS = 0.25  # instruments of one export are asked one after the other, and see the same figures


def instrument(*stores: LSMStore, meter: Meter) -> None:
    """Make the instruments of open stores on ``meter``, for as long as it lives. Raises ValueError without a store.

    A meter cannot give instruments back: call this once for each meter. Closed stores are reported as down.
    """
    look = _Shared(looks_of(*stores))
    meter.create_observable_gauge(PREFIX + UP_NAME, [partial(_up, look)], "", UP_TEXT)
    for family in FAMILIES:
        name, unit = name_and_unit(family.name)
        create = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
        create(PREFIX + name, [partial(_of_family, look, family)], unit, family.text)
    name, unit = name_and_unit(LATENCY_NAME)
    meter.create_observable_gauge(PREFIX + name, [partial(_quantiles, look)], unit, LATENCY_TEXT)
    meter.create_observable_counter(f"{PREFIX}{name}_count", [partial(_counts, look)], "", "Calls of operations")


def name_and_unit(name: str) -> tuple[str, str]:
    """The name of an instrument and its unit for that of a Prometheus metric."""
    name = name.removesuffix("_total")
    return name, next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


class _Shared:
    """Looks at the stores once for each export."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._seen: tuple[StoreMetrics, ...] = ()
        self._seen_at: float | None = None
        self._lock = Lock()

    def __call__(self) -> Iterable[StoreMetrics]:
        with self._lock:
            now = self._clock()
            if self._seen_at is None or now - self._seen_at > _SAME_EXPORT_SECONDS:
                self._seen, self._seen_at = tuple(self._look()), now
            return self._seen


def _up(look: _Shared, _: CallbackOptions) -> Iterator[Observation]:
    return (Observation(int(store.up), {"db": store.db}) for store in look())


def _of_family(look: _Shared, family: Family, _: CallbackOptions) -> Iterator[Observation]:
    return (Observation(value, labels) for store in look() for labels, value in family.of(store))


def _quantiles(look: _Shared, _: CallbackOptions) -> Iterator[Observation]:
    for store in look():
        for latency in latencies(store.stats):
            for quantile, seconds in latency.quantiles.items():
                labels = {"db": store.db, "operation": latency.operation, "quantile": quantile}
                yield Observation(seconds, labels)


def _counts(look: _Shared, _: CallbackOptions) -> Iterator[Observation]:
    for store in look():
        for latency in latencies(store.stats):
            yield Observation(latency.count, {"db": store.db, "operation": latency.operation})
