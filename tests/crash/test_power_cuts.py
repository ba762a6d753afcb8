"""Power is lost under a working store: on real file systems on loop devices, and on the model of a disk.

The long form (``pytest --full``) is 500 cuts on each, as ``lsmproc stress --power-cuts 500`` runs them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsmproc.stress.report import StressReport
from lsmproc.stress.volumes import missing_for
from tests.tally import Tally

RunPlan = Callable[..., StressReport]

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "errors": 0}


@pytest.mark.timeout(1800)
def test_a_modelled_power_cut_leaves_a_prefix_with_all_that_was_promised(
    run_plan: RunPlan, full: bool, tally: Tally
) -> None:
    """Unsynced bytes and names are dropped, kept, mixed and torn."""
    count = 500 if full else 12
    report = run_plan(
        seed=21,
        power_cuts=count,
        volumes=("model",),
        seconds=1700.0,
        interval_seconds=(0.005, 0.3 if full else 0.1),
        cycles_per_episode=10 if full else 3,
    )
    figures = report.figures()
    assert (NOTHING_BROKEN, True) == ({name: figures[name] for name in NOTHING_BROKEN}, report.complete)
    tally.add("power cuts on the model of a disk", count)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_a_real_power_cut_leaves_a_prefix_with_all_that_was_promised(
    rig_directory: Path, full: bool, tally: Tally, file_system: str
) -> None:
    """The file system forgets what is not on the disk, and replays its journal when it is mounted again."""
    count = 500 if full else 8
    if missing := missing_for(file_system):
        tally.skip(f"power cuts on {file_system}", count, missing)
    command = [
        *("-m", "lsmproc", "stress", "--json", "--seed", "22", "--dir", str(rig_directory), "--interval", "0.005:0.3"),
        *("--power-cuts", str(count), "--volumes", file_system, "--seconds", "1700"),
        *(() if full else ("--sync", {"ext4": "mix,every_write", "xfs": "none"}[file_system])),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=1790, check=False)
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert count == figures["cycles"]
    assert NOTHING_BROKEN == {name: figures[name] for name in NOTHING_BROKEN}
    tally.add(f"power cuts on {file_system}", count)


def test_a_volume_that_the_machine_cannot_make_is_refused_before_anything_is_made(
    run_plan: RunPlan, rig_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not root, or a program is missing: said by name."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert missing_for("xfs") in {"mkfs.xfs is not installed", "only root may mount", "there are no loop devices"}
    assert missing_for("model") is None
