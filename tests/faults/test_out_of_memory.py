"""No memory at any allocation of a call: the store keeps its promises, or says clearly that it takes no writes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.tally import Tally

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 600.0
WRITES = ("put", "synced_put", "delete", "batch", "synced_batch", "sync")
SHORT = ("put", "synced_put", "delete", "batch", "sync", "take_snapshot", "release_snapshot", "get")
LONG = ("synced_batch", "step", "scan", "close", "rotating_put")
COUNTED = "allocations that failed in calls of a store"


@pytest.mark.parametrize(
    ("mode", "wal", "stride", "full_stride", "calls"),
    [
        ("once", "pwrite", 11, 1, SHORT),
        ("once", "pwrite", 73, 1, LONG),
        ("spell", "pwrite", 23, 1, WRITES),
        ("drought", "pwrite", 31, 1, WRITES),
        ("once", "mapped", 23, 1, ("put", "synced_batch", "rotating_put")),
        ("once", "pwrite", 211, 7, ("large_batch",)),
        ("once", "pwrite", 131, 7, ("flush",)),
    ],
)
def test_a_call_without_memory_leaves_the_store_as_promised(
    tally: Tally, full: bool, mode: str, wal: str, stride: int, full_stride: int, calls: tuple[str, ...]
) -> None:
    """In a process of its own: should the interpreter or a C extension die, that is a finding and no dead test run."""
    if importlib.util.find_spec("_testcapi") is None:
        tally.skip(COUNTED, len(calls), "this Python has no _testcapi")
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory:
        step = str(full_stride if full else stride)
        command = [sys.executable, "-m", "tests.faults.out_of_memory", mode, wal, step, directory, *calls]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert 0 == done.returncode, f"{lines[-1:]}: {done.stderr[-1500:]}"
    finished = [line for line in lines if "outcome" in line]
    assert set(calls) == {line["call"] for line in finished}
    failed = [line for line in finished if line["outcome"] != "passed"]
    assert failed
    tally.add(COUNTED, len(failed))
