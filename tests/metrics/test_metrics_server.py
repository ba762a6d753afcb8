"""The metrics over HTTP."""

from __future__ import annotations

import http.client
import logging

import pytest

import lsmproc
from lsmproc import metrics
from lsmproc.metrics import MetricsServer, StoreMetrics


def _get(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10.0)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_a_service_serves_its_store(store: lsmproc.LSMStore) -> None:
    """Fresh figures with each scrape; down once the store is closed."""
    with metrics.serve(store, port=0) as server:
        status, kind, text = _get(server, "/metrics")
        assert (200, "text/plain; version=0.0.4; charset=utf-8") == (status, kind)
        assert "lsmproc_put_total" in text
        assert f"http://127.0.0.1:{server.port}/metrics" == server.url
        before = _value(text, "lsmproc_put_total")
        store.put(b"k", b"v")
        assert before + 1 == _value(_get(server, "/metrics?x=1")[2], "lsmproc_put_total")
        store.close()
        assert 0.0 == _value(_get(server, "/")[2], "lsmproc_up")
    assert server.wait(0)


def test_other_pages_are_not_there(store: lsmproc.LSMStore) -> None:
    """And the answer says where the metrics are."""
    with metrics.serve(store, port=0) as server:
        status, _, text = _get(server, "/secret")
        assert (404, True) == (status, "the metrics are at /metrics" in text)


def test_a_probe_gets_the_head_of_the_page(store: lsmproc.LSMStore) -> None:
    """Monitors ask with HEAD whether anybody is there."""
    with metrics.serve(store, port=0) as server:
        assert (200, "text/plain; version=0.0.4; charset=utf-8", "") == _get(server, "/metrics", "HEAD")
        assert 404 == _get(server, "/secret", "HEAD")[0]


def test_a_scrape_that_fails_is_logged_and_the_next_one_served(caplog: pytest.LogCaptureFixture) -> None:
    """The scraper is not shown what went wrong inside."""
    looks: list[Exception | None] = [RuntimeError("broken inside"), None]

    def look() -> list[StoreMetrics]:
        if (error := looks.pop(0)) is not None:
            raise error
        return [StoreMetrics("/d", True)]

    with MetricsServer(look, port=0) as server:
        with caplog.at_level(logging.ERROR, "lsmproc.metrics"):
            status, _, text = _get(server, "/metrics")
        assert (500, False) == (status, "broken inside" in text)
        assert "broken inside" in caplog.text
        assert 200 == _get(server, "/metrics")[0]


def test_a_port_that_is_taken_is_an_error_at_once(store: lsmproc.LSMStore) -> None:
    """And nothing is left behind."""
    with metrics.serve(store, port=0) as server, pytest.raises(OSError, match="in use"):
        metrics.serve(store, port=server.port)


def test_close_may_come_twice(store: lsmproc.LSMStore) -> None:
    """As everywhere."""
    server = metrics.serve(store, port=0)
    assert not server.wait(0)
    server.close()
    server.close()


def _value(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(name + "{")).rpartition(" ")[2])
