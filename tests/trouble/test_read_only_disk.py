"""A disk or directory that takes no writes any more: typed errors, reads go on, and no damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tally import Tally
from tests.trouble.private_mounts import NAMESPACE, why_no_loop, why_not
from tests.trouble.scenario_process import run_scenario


@pytest.mark.parametrize("background", ["process", "inline"])
def test_a_disk_that_turns_read_only_refuses_writes_and_serves_reads(
    tmp_path: Path, background: str, tally: Tally
) -> None:
    """As ext4 does with errors=remount-ro; after a mount that writes again the store opens with all that was synced."""
    if reason := why_no_loop():
        tally.skip("disks that turn read-only", 1, reason)
    run_scenario("read_only_disk.turns_read_only", tmp_path, background, behind=NAMESPACE)
    tally.add("disks that turn read-only")


def test_an_immutable_directory_delays_flushes_and_nothing_else(tmp_path: Path, tally: Tally) -> None:
    """``chattr +i`` and back, while the store is open: it goes on by itself."""
    if reason := why_no_loop() or why_not("chattr"):
        tally.skip("directories made immutable", 1, reason)
    run_scenario("read_only_disk.directory_is_immutable", tmp_path, behind=NAMESPACE)
    tally.add("directories made immutable")


def test_outputs_that_cannot_be_made_stop_writes_with_the_reason(tmp_path: Path, tally: Tally) -> None:
    """Writes are taken as long as there is memory for them; then they raise what the jobs met, with its file."""
    if reason := why_no_loop() or why_not("chattr"):
        tally.skip("directories made immutable", 1, reason)
    run_scenario("read_only_disk.outputs_are_refused", tmp_path, behind=NAMESPACE)
    tally.add("directories made immutable")
