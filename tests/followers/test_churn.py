"""Followers in other processes, while owners and workers are killed under them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.followers.churn import BOARD_BYTES
from tests.tally import Tally

ROOT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]

MEMORY_DISK = Path("/dev/shm")
FULL_SECONDS = 600.0
SHORT_SECONDS = 2.0
ALTERNATE = {"wal": "mapped", "manifest": "snapshot", "memtable": "sorted_dict"}
FEWEST_KILLS = 3


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the store is: in memory where possible, since a kill says nothing about a disk."""
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else tmp_path
    with TemporaryDirectory(dir=parent) as directory:
        (Path(directory) / "board").write_bytes(bytes(BOARD_BYTES))
        yield Path(directory)


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start one side of the churn; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(role: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.followers.churn", role, str(place), *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def start_owner(start: Start, role: str, options: dict[str, object]) -> subprocess.Popen[str]:
    """An owner, once its store is open."""
    owner = start(role, json.dumps(options))
    assert owner.stdout is not None
    line = owner.stdout.readline()
    assert "open\n" == line, owner.communicate(timeout=20)[1]
    return owner


def kill(owner: subprocess.Popen[str]) -> None:
    """SIGKILL; its output says nothing but that."""
    assert owner.poll() is None, owner.communicate(timeout=20)[1]
    owner.kill()
    assert "" == owner.communicate(timeout=20)[1]


def kill_a_worker(owner: subprocess.Popen[str], chance: random.Random) -> int:
    """SIGKILL one of the owner's workers, if it has any; how many that were."""
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = psutil.Process(owner.pid).children()
        if workers:
            chance.choice(workers).kill()
            return 1
    return 0


@pytest.mark.timeout(FULL_SECONDS + 120)
@pytest.mark.parametrize(("options", "name"), [({}, "default"), (ALTERNATE, "alternate")], ids=["default", "alternate"])
def test_three_followers_see_prefixes_only_while_owners_and_workers_are_killed(
    start: Start, place: Path, options: dict[str, object], name: str, full: bool, tally: Tally
) -> None:
    """Each state that a follower shows is exactly the store after some write, and never an earlier one than before."""
    if name != "default" and not full:
        tally.skip("states of followers under churn of the alternate parts", 1, "only with --full")
    chance = random.Random(5)
    pause = threading.Event()
    owner = start_owner(start, "own", options)
    followers = [start("follow", mode) for mode in ("read", "interval", "manual")]
    owner_kills = worker_kills = lives = 0
    deadline = time.monotonic() + (FULL_SECONDS if full else SHORT_SECONDS)
    while time.monotonic() < deadline or owner_kills < FEWEST_KILLS:
        pause.wait(chance.uniform(0.1, 0.5))
        if owner_kills == lives:  # Once in each owner's life: a third death on one job would end it.
            lives += 1
            worker_kills += kill_a_worker(owner, chance)
        kill(owner)
        owner_kills += 1
        owner = start_owner(start, "own", options)
        for follower in followers:
            assert follower.poll() is None, follower.communicate(timeout=20)[1]
    (place / "stop").touch()
    results = []
    for follower in followers:
        output, errors = follower.communicate(timeout=60)
        assert ("", 0) == (errors, follower.returncode), errors
        results.append(json.loads(output))
    kill(owner)
    assert all(result["refreshes"] > 1 for result in results), results
    tally.add("states of followers under churn", int(sum(result["checks"] for result in results)))
    tally.add("kills of owners under followers", owner_kills)
    tally.add("kills of workers under followers", worker_kills)


def test_a_write_is_seen_within_milliseconds_of_its_acknowledgement(start: Start, place: Path, tally: Tally) -> None:
    """A follower that looks at each read, in a process of its own, sees each value as soon as it looks."""
    owner = start_owner(start, "count", {})
    watcher = start("watch", "read")
    threading.Event().wait(1.0)
    (place / "stop").touch()
    output, errors = watcher.communicate(timeout=60)
    assert ("", 0) == (errors, watcher.returncode), errors
    seen = json.loads(output)
    kill(owner)
    # The machine decides who runs when; the limit is for what this package does.
    assert 0.010 > seen["median"], seen
    tally.add("values seen by a follower within 10 ms (median)", seen["seen"])
