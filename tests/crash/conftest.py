"""Where the crash rig works in tests, and what a plan for them has in common."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsmproc.stress.plan import StressPlan
from lsmproc.stress.report import StressReport
from lsmproc.stress.rig import run_stress

MEMORY_DISK = Path("/dev/shm")

# Waits for events: only a run that fails, or one on a machine with much else to do, comes near them.
BOUNDS = {"owner_kills": 0, "seconds": 100.0, "slow_seconds": 20.0, "gone_seconds": 10.0}

RunPlan = Callable[..., StressReport]


@pytest.fixture
def rig_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory that does not exist yet; in memory where possible, since a kill says nothing about a disk."""
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else tmp_path
    directory = parent / f"lsmproc-test-{secrets.token_hex(6)}"
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def run_plan(rig_directory: Path, capsys: pytest.CaptureFixture[str]) -> RunPlan:
    """Run a plan of the crash rig, with its lines on the captured output."""

    def run(**plan: Any) -> StressReport:
        return run_stress(StressPlan(**{**BOUNDS, **plan}), str(rig_directory), print)

    return run
