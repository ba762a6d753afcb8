"""Metrics of open stores for Prometheus and OpenTelemetry, in RocksDB's words.

Within a service that has no metrics of its own::

    with lsmproc.metrics.serve(db, port=9464):
        ...

Within one that uses prometheus_client: ``REGISTRY.register(PrometheusCollector(db))`` (the extra ``metrics``); one that
uses OpenTelemetry: ``instrument(db, meter)`` of :mod:`lsmproc.metrics.opentelemetry` (the extra ``otel``); and from
outside, without a change to the service: ``lsmproc serve-metrics PATH``. All of them export the same families, which
stand in one table, :mod:`lsmproc.metrics.families`. ``grafana.json`` and ``alerts.yml`` beside this file use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.metrics.metrics_server import DEFAULT_ADDRESS, DEFAULT_PORT, MetricsServer
from lsmproc.metrics.store_metrics import StoreMetrics, looks_of

if TYPE_CHECKING:
    from lsmproc.store import LSMStore

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_PORT", "MetricsServer", "StoreMetrics", "serve"]


def serve(*stores: LSMStore, port: int = DEFAULT_PORT, address: str = DEFAULT_ADDRESS) -> MetricsServer:
    """Serve the metrics of open stores at ``http://address:port/metrics`` until the server, or the store, is closed.

    A store that is closed counts as down from then on. Port 0 takes a free one, see ``MetricsServer.port``. Raises
    OSError if the address cannot be had, ValueError without a store.
    """
    return MetricsServer(looks_of(*stores), port=port, address=address)
