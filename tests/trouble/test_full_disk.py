"""A disk that fills up costs nothing that was acknowledged, and the store goes on by itself when there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tally import Tally
from tests.trouble.private_mounts import NAMESPACE, why_no_loop, why_not
from tests.trouble.scenario_process import run_scenario

_MAPPED_BYTES = 4 << 20  # a mapped segment is never smaller


def spread(low: int, high: int, count: int) -> list[int]:
    """So many sizes from ``low`` to ``high``, each larger than the one before by the same factor."""
    return [int(low * (high / low) ** (index / (count - 1))) for index in range(count)]


def options_of(index: int) -> dict[str, Any]:
    """Every background with both manifests and all kinds of syncs, one after the other."""
    return {
        "background": ("process", "process", "inline", "thread")[index % 4],
        "manifest": ("log", "log", "snapshot")[index % 3],
        "wal_sync": ("none", "interval", "every_write")[index // 2 % 3],
    }


def test_disks_in_memory_of_many_sizes_fill_up_and_get_room_again(tmp_path: Path, full: bool, tally: Tally) -> None:
    """From one that cannot even hold the first files to one that ends up full in a compaction."""
    count = 70 if full else 7
    if reason := why_not():
        tally.skip("full disks (tmpfs)", count, reason)
    # In the short form the smallest disks, which hold no table yet, are one case and not a third of all.
    sizes = [48 << 10, *spread(300_000, 3 << 20, count - 1)] if not full else spread(16 << 10, 8 << 20, count)
    options = [options_of(index) for index in range(count)]
    found = run_scenario("full_disk.fill_many", tmp_path, sizes, options, behind=NAMESPACE, timeout=count * 12)
    assert found["not opened"] < count / 2
    assert found["a flush failed"] > 0
    assert found["a compaction failed"] > 0
    tally.add("full disks (tmpfs)", count)
    tally.add("writes until a disk was full", found["writes"])


def test_real_disks_of_many_sizes_fill_up_and_get_room_again(tmp_path: Path, full: bool, tally: Tally) -> None:
    """The same on ext4, where a failed allocation leaves a part of the file behind."""
    count = 20 if full else 3
    if reason := why_no_loop():
        tally.skip("full disks (ext4)", count, reason)
    sizes = spread(200_000, (6 if full else 2) << 20, count)
    options = [options_of(index + 1) for index in range(count)]
    found = run_scenario("full_disk.fill_many_ext4", tmp_path, sizes, options, behind=NAMESPACE, timeout=count * 20)
    tally.add("full disks (ext4)", count)
    tally.add("writes until a disk was full", found["writes"])


def test_a_mapped_log_on_a_full_disk_raises_and_never_kills_the_process(
    tmp_path: Path, full: bool, tally: Tally
) -> None:
    """A page of a mapped file that the disk has no block for would be SIGBUS."""
    count = 10 if full else 2
    if reason := why_not():
        tally.skip("full disks (mapped log)", count, reason)
    sizes = spread(_MAPPED_BYTES + (300 << 10), (5 if full else 2) * _MAPPED_BYTES, count)
    options = [options_of(index) | {"wal": "mapped"} for index in range(count)]
    run_scenario("full_disk.fill_many", tmp_path, sizes, options, behind=NAMESPACE, timeout=count * 20)
    tally.add("full disks (mapped log)", count)


@pytest.mark.parametrize("background", ["process", "inline", "thread"])
def test_a_write_that_would_wait_for_disk_space_raises_soon(tmp_path: Path, background: str, tally: Tally) -> None:
    """Waiting memtables stop writes; if they wait for room on the disk, the caller must hear of it."""
    if reason := why_not():
        tally.skip("stalls on a full disk", 1, reason)
    found = run_scenario("full_disk.stopped_by_a_full_disk", tmp_path, background, behind=NAMESPACE, timeout=40)
    assert found["first error seconds"] < 10
    assert found["next error seconds"] < 1
    tally.add("stalls on a full disk")


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
def test_a_disk_that_is_full_at_the_manifest_s_turn_delays_the_change_only(
    tmp_path: Path, manifest: str, tally: Tally
) -> None:
    """The table is written and its line is not: the tree stays as it was, for this process and the next."""
    if reason := why_not():
        tally.skip("manifests without room", 1, reason)
    found = run_scenario("full_disk.manifest_full", tmp_path, manifest, behind=NAMESPACE)
    assert found["refused"] >= 1
    tally.add("manifests without room")


def test_a_store_that_waited_long_for_room_goes_on_within_five_seconds(
    tmp_path: Path, full: bool, tally: Tally
) -> None:
    """The pauses between attempts grow, but not beyond what a person would wait for."""
    if not full:
        tally.skip("resuming after a long wait", 1, "it takes 15 s: --full")
    if reason := why_not():
        tally.skip("resuming after a long wait", 1, reason)
    found = run_scenario("full_disk.full_for_long", tmp_path, behind=NAMESPACE)
    assert found["background seconds"] < 5
    tally.add("resuming after a long wait")
