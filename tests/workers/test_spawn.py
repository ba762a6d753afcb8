"""A spawned process inherits what it is given and nothing else, and a spawn that fails leaves nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from lsmproc.workers import spawn
from lsmproc.workers.spawn import SpawnedProcess


def descriptors() -> set[str]:
    """The numbers of this process's descriptors."""
    return set(os.listdir("/proc/self/fd"))


def test_a_process_runs_its_target_and_ends(tmp_path: Path) -> None:
    """Arguments arrive, and the end is seen on the sentinel."""
    process = SpawnedProcess("lsmproc-test", Path.write_text, (tmp_path / "proof", "it ran"), ())
    assert process.wait(10.0)
    process.close()
    assert not process.is_alive()
    assert "it ran" == (tmp_path / "proof").read_text()


def test_a_worker_has_only_the_descriptors_it_was_given(runs: Any, stand_in_jobs: ModuleType, tmp_path: Path) -> None:
    """Standard streams, two queues and the lives of owner and worker: nothing of the host's files and sockets."""
    with (tmp_path / "host file").open("w") as host_file:
        os.set_inheritable(host_file.fileno(), True)
        runs.run(stand_in_jobs.flush(1))
    (pid,) = runs.pids()
    targets = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    assert host_file.name not in targets
    # Standard streams, the new standard input that multiprocessing opens, and four pipes.
    assert 3 + 1 + 4 >= len(targets), targets
    assert "/" == psutil.Process(pid).cwd()


def test_a_spawn_that_fails_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, the next attempt finds the process as it was."""

    def refuse(*_: object) -> int:
        raise OSError("the system has no process to give")

    before = descriptors()
    monkeypatch.setattr(spawn.util, "spawnv_passfds", refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="no process to give"):
            SpawnedProcess("lsmproc-test", time.sleep, (30,), ())
    assert before == descriptors()


def test_a_failed_spawn_of_a_worker_is_tried_again(
    runs: Any, stand_in_jobs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have a process to give a moment later."""
    real = spawn.util.spawnv_passfds
    attempts = []

    def refuse_once(*arguments: Any) -> int:
        attempts.append(arguments)
        if len(attempts) == 1:
            raise BlockingIOError("the system has no process to give")
        return int(real(*arguments))

    monkeypatch.setattr(spawn.util, "spawnv_passfds", refuse_once)
    assert 1 == runs.run(stand_in_jobs.flush(1)).attempt
    assert 2 == len(attempts)


def test_a_killed_process_is_reaped_by_close() -> None:
    """No zombie is left, and closing twice is harmless."""
    process = SpawnedProcess("lsmproc-test", time.sleep, (30,), ())
    assert process.is_alive()
    process.kill()
    process.close()
    process.close()
    assert not psutil.pid_exists(process.pid)


def test_niceness_is_the_worker_s_only(make_runs: Callable[..., Any], stand_in_jobs: ModuleType) -> None:
    """Compaction workers step back; flush workers and the application do not."""
    runs = make_runs(niceness=5)
    mine = os.nice(0)
    runs.run(stand_in_jobs.flush(1))
    (flusher,) = runs.pids()
    runs.run(stand_in_jobs.compaction(2))
    (compactor,) = set(runs.pids()) - {flusher}
    nices = (os.nice(0), psutil.Process(flusher).nice(), psutil.Process(compactor).nice())
    assert (mine, mine, min(mine + 5, 19)) == nices
