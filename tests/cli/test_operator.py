"""What a new operator does, in order: starts it wrongly, watches it, stalls it, changes it, measures it, tunes it.

(The last step, that the advice of ``lsmproc tune`` followed removes its finding, is in test_tune.py.)
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

import lsmproc
from lsmproc.metrics import serve

Run = Callable[..., Any]
Eventually = Callable[..., None]

ROOT = Path(__file__).parents[2]
_SERVICE = r"""
import sys, lsmproc
path, config = sys.argv[1:]
with lsmproc.LSMStore(lsmproc.LSMConfig.from_toml(config, data_dir=path)) as db:
    print("open", flush=True)
    for line in sys.stdin:
        if line == "stop\n":
            break
        for number in range(1000):
            db.put(b"%08d" % number, b"v" * 100)
"""


class Service:
    """A process that owns a store and writes; each line it is sent lets it write a thousand records more."""

    def __init__(self, path: Path, config: Path) -> None:
        self._process = Popen(
            [sys.executable, "-c", _SERVICE, str(path), str(config)],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )

    def is_open(self) -> bool:
        """Wait until it has opened its store, or failed to."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "open\n"

    def go_on(self) -> None:
        """Write a thousand records more."""
        assert self._process.stdin is not None
        self._process.stdin.write("more\n")
        self._process.stdin.flush()

    def stop(self) -> tuple[int, str]:
        """Its exit status, and what it has said."""
        try:
            _, said = self._process.communicate("stop\n" if self._process.poll() is None else None, timeout=30.0)
        finally:
            self._process.kill()
        return self._process.returncode, said


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """Start a service with a file of settings."""
    started: list[Service] = []

    def start(settings: str) -> Service:
        (tmp_path / "app.toml").write_text(settings)
        started.append(Service(tmp_path / "store", tmp_path / "app.toml"))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_a_service_with_a_bad_config_is_told_all_that_is_wrong_with_it(
    run: Run, service: Callable[[str], Service], tmp_path: Path
) -> None:
    """Each mistake with its line, by the service itself and by ``config check``; and no store is made."""
    bad = 'flush_workers = 0\nrate_limt = "4MiB/s"\nlevel0_slowdown_writes_trigger = 40\nwal_sync = "always"\n'
    started = service(bad)
    assert not started.is_open()
    code, said = started.stop()
    assert code != 0
    checked = run("config", "check", tmp_path / "app.toml")
    told = (checked.out.decode() + checked.err, said)
    for text in told:
        for mistake in ("app.toml:1: flush_workers", "app.toml:2: unknown setting 'rate_limt'", "app.toml:4: wal_sync"):
            assert mistake in text
        assert text.index("app.toml:1:") < text.index("app.toml:2:") < text.index("app.toml:4:")
    assert not (tmp_path / "store").exists()


def test_top_shows_the_load_while_it_runs(
    run: Run, service: Callable[[str], Service], tmp_path: Path, eventually: Eventually
) -> None:
    """From another process, a service with worker processes: its puts by the second, and a worker for each job."""
    loaded = service('background = "process"\nmemtable_max_bytes = "256KiB"\n')
    assert loaded.is_open()

    def shows_load() -> bool:
        loaded.go_on()
        tree = json.loads(run("top", tmp_path / "store", "--once", "--json").out)
        return bool(tree.get("rates", {}).get("puts_per_second", 0) > 0 and tree["stats"]["workers"])

    eventually(shows_load, what="top shows no puts")
    tree = json.loads(run("top", tmp_path / "store", "--once", "--json").out)
    assert "running" == tree["owner"]
    assert 0 == loaded.stop()[0]


def test_a_stall_caused_on_purpose_is_explained_with_reason_and_remedy(
    run: Run, tmp_path: Path, eventually: Eventually
) -> None:
    """A rate far too low: writes stop, and ``why`` names the backlog, the limit, and what to set it to."""
    small: dict[str, Any] = {"memtable_max_bytes": 32 << 10, "max_immutable_memtables": 2}
    with lsmproc.open(tmp_path / "store", background="thread", rate_limit_bytes_per_sec=2048, **small) as store:
        with pytest.raises(lsmproc.WriteStallTimeout):
            for number in range(5000):
                store.put(b"%08d" % number, b"v" * 100, timeout=0.05)
        eventually(lambda: run("why", store.path).code == 1, what="why knows of no stall")
        tree = json.loads(run("why", store.path, "--json").out)
        store.env.rate_limiter.set_rate(None)
        store.wait_idle(20.0)
    assert "stop" == tree["state"]
    assert {"immutable memtables", "rate limit"} <= {each["condition"] for each in tree["findings"]}
    assert "rate_limit_bytes_per_sec" in {each["setting"] for each in tree["remedies"]}


def test_a_changed_rate_is_seen_in_the_status_within_two_seconds(run: Run, tmp_path: Path) -> None:
    """While writes go on; the page is rewritten once a second."""
    with lsmproc.open(tmp_path / "store", background="thread", rate_limit_bytes_per_sec=64 << 20) as store:

        def rate() -> int | None:
            store.put(b"k", b"v")
            tree = json.loads(run("top", store.path, "--once", "--json").out)
            return tree.get("stats", {}).get("limiter", {}).get("bytes_per_second")

        def seen(wanted: int, seconds: float) -> bool:
            pause, deadline = threading.Event(), time.monotonic() + seconds
            while rate() != wanted and time.monotonic() < deadline:
                pause.wait(0.05)
            return rate() == wanted

        assert seen(64 << 20, 10.0)
        store.env.rate_limiter.set_rate(32 << 20)
        assert seen(32 << 20, 2.0)


def test_metrics_are_scraped(tmp_path: Path) -> None:
    """Over HTTP, as Prometheus does it, with the words of RocksDB."""
    with lsmproc.open(tmp_path / "store", background="thread") as store:
        store.put(b"k", b"v")
        server = serve(store, port=0)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10.0) as answer:
                text = answer.read().decode()
        finally:
            server.close()
    assert "lsmproc_" in text
    assert "is_write_stopped" in text
