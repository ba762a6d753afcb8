"""A small HTTP server for metrics, from the standard library. It serves one page, by default to this machine only.

Each request looks at the stores anew, on a thread of its own; at most ``_MOST_REQUESTS`` are under way, others are told
to come again. A client that is slow to ask loses its connection after ``_PATIENCE_SECONDS``.
"""

from __future__ import annotations

import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from lsmproc.metrics.exposition import CONTENT_TYPE, exposition
from lsmproc.metrics.store_metrics import Look
from lsmproc.timeouts import checked_timeout

DEFAULT_PORT = 9464  # that of OpenTelemetry's Prometheus exporter
DEFAULT_ADDRESS = "127.0.0.1"

_PATIENCE_SECONDS = 10.0
_MOST_REQUESTS = 8
_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 0.1  # how long a close may go unnoticed

_log = logging.getLogger("lsmproc.metrics")


class MetricsServer:
    """Serves ``/metrics`` on a thread of its own until it is closed. A context manager; ``close`` is idempotent."""

    def __init__(self, look: Look, *, port: int = DEFAULT_PORT, address: str = DEFAULT_ADDRESS) -> None:
        """Begin to serve what ``look`` tells. Port 0 takes a free one. Raises OSError."""
        self._server = _Server((address, port), _Request)
        self._server.look = look
        self._thread = threading.Thread(target=self._serve, name="lsmproc-metrics", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._server.serve_forever(_LOOK_SECONDS)

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = str(self._server.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until somebody closes the server; False if that takes longer than ``seconds``."""
        self._thread.join(None if seconds is None else checked_timeout(seconds, "seconds"))
        return not self._thread.is_alive()

    def close(self) -> None:
        """Serve no more; requests under way end."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        """The server itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class _Server(ThreadingHTTPServer):
    """The listening socket, and a bound on what it may start."""

    daemon_threads = True
    look: Look

    def __init__(self, *arguments: Any) -> None:
        self.free = threading.BoundedSemaphore(_MOST_REQUESTS)
        super().__init__(*arguments)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - as http.server has it
        """Note it: nobody else hears of it."""
        _log.warning("a scrape by %s ended early", client_address, exc_info=True)


class _Request(BaseHTTPRequestHandler):
    """One request."""

    timeout = _PATIENCE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Answer with the metrics, or the way to them."""
        if self.path.partition("?")[0] not in {"/", "/metrics"}:
            self.send_error(HTTPStatus.NOT_FOUND, explain="the metrics are at /metrics")
            return
        if not self.server.free.acquire(blocking=False):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain="too many scrapes at once; come again")
            return
        try:
            body = exposition(self.server.look()).encode()
        except Exception:  # noqa: BLE001 - whatever it is must not end the server, and the scraper must not see it
            _log.exception("the metrics could not be collected")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain="see the log of the server")
            return
        finally:
            self.server.free.release()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as http.server has it; a probe asks with it

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is http.server's
        """To the logger; scrapes are too many for standard error."""
        _log.debug(format, *arguments)
