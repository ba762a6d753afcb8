"""A disk fills up under a store, and gets room again. The short form is one disk of each kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lsmproc.stress.volumes import missing_for
from tests.tally import Tally

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "gave up": 0, "errors": 0}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("disk", ["tmpfs", "small-ext4"])
def test_a_disk_that_fills_up_loses_nothing_and_is_written_again(
    rig_directory: Path, full: bool, tally: Tally, disk: str
) -> None:
    """Writes raise NoSpaceError, reads work, and once there is room every thread writes within five seconds."""
    count = 50 if full else 1
    if missing := missing_for(disk):
        tally.skip(f"full disks under the crash rig ({disk})", count, missing)
    command = [
        *("-m", "lsmproc", "stress", "--json", "--seed", "42", "--dir", str(rig_directory), "--interval", "0.01:0.05"),
        *("--full-disks", str(count), "--disks", disk, "--seconds", "1700", "--options", "tiny,small,plain"),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=1790, check=False)
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert count == figures["cycles"]
    assert NOTHING_BROKEN == {name: figures[name] for name in NOTHING_BROKEN}
    tally.add(f"full disks under the crash rig ({disk})", count)
