"""A store in a task of Celery's prefork pool: daemonic children of another library's processes, with its own keys."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.hosts.conftest import DEADLINE_SECONDS, StartHost, family
from tests.tally import Tally

# Celery talks through files here, so that no broker has to run.
TASKS = """
import os
from celery import Celery
from store_work import work_in

for name in ("queue", "control", "results"):
    os.makedirs(name, exist_ok=True)
app = Celery("tasks", broker="filesystem://", backend="file://" + os.path.abspath("results"))
app.conf.update(
    broker_transport_options=dict(data_folder_in="queue", data_folder_out="queue", control_folder="control"),
    worker_hijack_root_logger=False,
)


@app.task
def use_a_store(name):
    return work_in(name)
"""

CLIENT = """
from tasks import use_a_store

asked = [use_a_store.delay(name) for name in ("one", "two")]
print(*[each.get(timeout=40) for each in asked])
"""


def test_tasks_of_a_prefork_worker_open_stores_whose_workers_work(
    start_host: StartHost, needs: Callable[[str], None], tmp_path: Path, tally: Tally
) -> None:
    """Two tasks in two children, each with a store; a warm shutdown leaves no process."""
    needs("celery")
    (tmp_path / "tasks.py").write_text(TASKS)
    options = ["--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    host = start_host("-m", "celery", "-A", "tasks", "worker", "--loglevel", "ERROR", *options)
    client = start_host("-c", CLIENT)
    assert "compaction,flush compaction,flush\n" == client.communicate(timeout=DEADLINE_SECONDS)[0]
    processes = family(host.pid)
    host.send_signal(signal.SIGTERM)
    _, errors = host.communicate(timeout=DEADLINE_SECONDS)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert [] == alive
    assert "Traceback" not in errors
    tally.add("host programs")
