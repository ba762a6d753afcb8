"""``lsmproc serve-metrics``: scraping stores that another process has open."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import lsmproc
from lsmproc.monitoring.store_status import read_status

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]
Eventually = Callable[..., None]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Scrapes a command in another process that serves the stores "a" and "b"; a is made here, b may come later."""
    for name in ("a", "b"):
        lsmproc.open(tmp_path / name, background="inline").close()
    command = [sys.executable, "-m", "lsmproc", "serve-metrics", "a", "b", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        address = urlsplit(process.stderr.readline().removeprefix("serving ").strip())

        def scrape() -> str:
            connection = http.client.HTTPConnection(str(address.hostname), address.port or 0, timeout=10.0)
            try:
                connection.request("GET", address.path)
                return connection.getresponse().read().decode()
            finally:
                connection.close()

        yield scrape
        process.send_signal(signal.SIGTERM)
        assert 130 == process.wait(20.0)


def test_open_stores_are_scraped_from_outside(
    served: Callable[[], str], tmp_path: Path, eventually: Eventually
) -> None:
    """The one that is open is up with its figures, the other down without; and down it is again once it is closed."""
    paths = [os.fspath(tmp_path / name) for name in ("a", "b")]
    assert {f'lsmproc_up{{db="{path}"}} 0.0' for path in paths} <= set(served().splitlines())
    with lsmproc.open(paths[0], background="thread") as store:
        store.put(b"k", b"v")
        eventually(lambda: read_status(paths[0]).stats, what="no page was written")
        lines = served().splitlines()
        assert {f'lsmproc_up{{db="{paths[0]}"}} 1.0', f'lsmproc_up{{db="{paths[1]}"}} 0.0'} <= set(lines)
        assert f'lsmproc_put_total{{db="{paths[0]}"}} 1.0' in lines
        assert any(line.startswith(f'lsmproc_status_age_seconds{{db="{paths[0]}"}} ') for line in lines)
    lines = served().splitlines()
    assert {f'lsmproc_up{{db="{path}"}} 0.0' for path in paths} <= set(lines)
    assert not [line for line in lines if line.startswith("lsmproc_put_total")]


def test_the_shipped_files_can_be_printed(run: Run) -> None:
    """For those who have the package and not its sources."""
    assert "lsmproc" == json.loads(run("serve-metrics", "--print", "grafana").out)["title"]
    assert "groups" in yaml.safe_load(run("serve-metrics", "--print", "alerts").out)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "no PATH"),
        (("nothing",), "no store"),
        ((".", "--port", "x"), "is no port"),
        ((".", "--port", "65536"), "no port"),
    ],
)
def test_a_request_that_cannot_be_served_is_exit_code_2(run: Run, arguments: tuple[str, ...], text: str) -> None:
    """Before anything listens."""
    done = run("serve-metrics", *arguments)
    assert (2, True) == (done.code, text in done.err)


def test_a_port_that_is_taken_is_named(run: Run, tmp_path: Path) -> None:
    """Mostly by another exporter."""
    with lsmproc.open(tmp_path / "store", background="inline"), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve-metrics", tmp_path / "store", "--port", port)
    assert (2, True) == (done.code, f"cannot listen at 127.0.0.1, port {port}: " in done.err)
