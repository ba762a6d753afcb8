"""Stores behind gunicorn, preloaded and not, and behind uvicorn."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.hosts.conftest import DEADLINE_SECONDS, StartHost, family
from tests.tally import Tally

Eventually = Callable[..., None]

# Opened by the master before it forks, and, under another path, by each worker on its first request.
GUNICORN_APP = """
import os
import lsmproc
from store_work import TINY, work

preloaded = lsmproc.open("preloaded", **TINY)
work(preloaded)
own = None


def application(environ, start_response):
    global own
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/preloaded":
        try:
            preloaded.put(b"from the child", b"")
        except lsmproc.ForkedHandleError as error:
            return [str(error).encode()]
    if own is None:
        own = lsmproc.open(f"worker-{os.getpid()}", **TINY)
    return [f"{os.getpid()} {work(own)}".encode()]
"""

UVICORN_APP = """
import lsmproc
from store_work import TINY, work


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["db"] = lsmproc.open("store", **TINY)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        scope["state"]["db"].close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    done = work(scope["state"]["db"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": done})
"""


def test_gunicorn_workers_have_stores_of_their_own_and_cannot_harm_the_preloaded_one(
    start_host: StartHost, needs: Callable[[str], None], tmp_path: Path, eventually: Eventually, tally: Tally
) -> None:
    """The master's store is refused in a forked worker, with the remedy; a store opened there has workers that work."""
    needs("gunicorn")
    (tmp_path / "application.py").write_text(GUNICORN_APP)
    port = free_port()
    options = ["--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "5"]
    host = start_host("-m", "gunicorn", *options, "application:application")
    eventually(lambda: answers(port), what="gunicorn answers")
    refused = get(port, "/preloaded")
    assert f"opened by process {host.pid}" in refused
    assert "post_fork" in refused
    served: dict[str, str] = {}

    def both_have_served() -> bool:
        pid, done = get(port, "/").split()
        served[pid] = done
        return len(served) == 2

    eventually(both_have_served, timeout=DEADLINE_SECONDS, what="both workers have served")
    assert {"compaction,flush"} == set(served.values())
    assert_ends_without_a_trace(host, signal.SIGTERM)
    assert len(list(tmp_path.glob("worker-*"))) == 2
    tally.add("host programs")


def test_a_store_in_uvicorn_s_lifespan_serves_and_ends_with_it(
    start_host: StartHost, needs: Callable[[str], None], tmp_path: Path, eventually: Eventually, tally: Tally
) -> None:
    """Opened at startup, closed at shutdown; SIGTERM leaves neither a process nor a lock."""
    needs("uvicorn")
    (tmp_path / "application.py").write_text(UVICORN_APP)
    port = free_port()
    host = start_host("-m", "uvicorn", "--port", str(port), "--log-level", "warning", "application:application")
    eventually(lambda: answers(port), what="uvicorn answers")
    assert "compaction,flush" == get(port, "/")
    assert_ends_without_a_trace(host, signal.SIGTERM)
    again = start_host("-c", "import lsmproc; print(lsmproc.open('store').get(b'user:007') is not None)")
    assert ("True\n", 0) == (again.communicate(timeout=DEADLINE_SECONDS)[0], again.returncode)
    tally.add("host programs")


def assert_ends_without_a_trace(host: subprocess.Popen[str], number: int) -> None:
    """The signal ends the host and all its processes, and none of them complains."""
    processes = family(host.pid)
    host.send_signal(number)
    _, errors = host.communicate(timeout=DEADLINE_SECONDS)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert [] == alive
    assert "Traceback" not in errors


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str) -> str:
    """The body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
