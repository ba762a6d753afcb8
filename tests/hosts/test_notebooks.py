"""A store in Jupyter's kernel, and the kernel's interrupt, which goes to the whole process group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hosts.conftest import DEADLINE_SECONDS
from tests.tally import Tally

Eventually = Callable[..., None]

OPEN = """
import lsmproc
from store_work import TINY, work
db = lsmproc.open("store", **TINY)
print(work(db))
"""

WRITE_FOR_EVER = """
written = 0
open("begun", "w").close()
while True:
    db.put(b"key %06d" % (written % 1000), b"value" * 20)
    written += 1
"""

# An interrupt in the middle of a rotation has the store refuse writes until it is opened again: nothing is lost either
# way. And it can land between the put and the count.
CHECK = """
try:
    db.put(b"one more", b"")
except lsmproc.StorageError:
    db.close()
    db = lsmproc.open("store", **TINY)
assert sum(1 for _ in db.range(prefix=b"key ")) in (min(written, 1000), min(written + 1, 1000))
print(work(db), db.stats().background_error, sum(worker.restarts for worker in db.stats().workers))
"""


@pytest.fixture
def kernel(needs: Callable[[str], None], host_environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """A kernel of its own process; shut down after the test."""
    needs("ipykernel")
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(env=host_environment, cwd=str(tmp_path))
    try:
        yield manager, client
    finally:
        processes = psutil.Process(manager.provisioner.pid).children(recursive=True)
        client.stop_channels()
        manager.shutdown_kernel()
        manager.cleanup_resources()
        manager.context.destroy()
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert [] == alive


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_interrupted_cell_leaves_store_and_workers_whole(
    kernel: Any, tmp_path: Path, eventually: Eventually, tally: Tally
) -> None:
    """The cell ends with KeyboardInterrupt; the next one finds every write, no error and no worker restarted."""
    manager, client = kernel
    assert ("compaction,flush\n", "") == _run(client, OPEN)
    asked = client.execute(WRITE_FOR_EVER)
    eventually((tmp_path / "begun").exists, what="the cell has begun")
    manager.interrupt_kernel()
    assert ("", "KeyboardInterrupt") == _outcome(client, asked)
    assert ("compaction,flush None 0\n", "") == _run(client, CHECK)
    tally.add("host programs")


def _run(client: Any, code: str) -> tuple[str, str]:
    """What a cell printed, and the name of the exception it ended with."""
    return _outcome(client, client.execute(code))


def _outcome(client: Any, asked: str) -> tuple[str, str]:
    printed, error = "", ""
    while True:
        message = client.get_iopub_msg(timeout=DEADLINE_SECONDS)
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            printed += content["text"]
        elif message["msg_type"] == "error":
            error = content["ename"]
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return printed, error
