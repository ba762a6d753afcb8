"""stress: a run that would test nothing is refused, or fails."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsmproc.stress.points import KILL_POINTS

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--episode", "99"), "make the episodes 0 to"),
        (("--episode", "-1"), "no count"),
        (("--owner-kills", "0"), "nothing to test"),
        (("--owner-kills", "-1"), "no count"),
        (("--worker-stops", "many"), "no count"),
        (("--seconds", "-1"), "no number of seconds"),
        (("--seconds", "nan"), "no number of seconds"),
        (("--seconds", "0"), "nothing to test"),
        (("--threads", "0"), "1 to 64 threads"),
        (("--threads", "1,x"), "no count"),
        (("--threads", ""), "no count"),
        (("--interval", "5:1"), "LOW:HIGH"),
        (("--interval", "-1:1"), "no number of seconds"),
        (("--interval", "1:"), "no number of seconds"),
        (("--sync", ""), "it knows none"),
        (("--options", "huge"), "it knows tiny"),
        (("--kill-points", "0"), "nothing to test"),
        (("--kill-points", "x"), "no count"),
        (("--points", "owner.sneeze"), "no point begins with 'owner.sneeze'"),
        (("--points", "owner.ren"), "no point begins with 'owner.ren'"),
        (("--disks", "floppy"), "it knows tmpfs"),
        (("--volumes", "floppy"), "it knows ext4"),
        (("--soak", "-1"), "no number of seconds"),
        (("--sabotage", "gremlins"), "no sabotage 'gremlins'"),
    ],
)
def test_numbers_that_test_nothing_are_refused_before_anything_is_made(
    run: Run, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    """A green run means that something was killed."""
    done = run("stress", "--dir", tmp_path / "rig", f"{options[0]}={options[1]}")
    assert (2, True, b"") == (done.code, complaint in done.err, done.out)
    assert not (tmp_path / "rig").exists()


def test_points_that_nothing_can_reach_are_refused(run: Run, tmp_path: Path) -> None:
    """An owner that never syncs its log cannot die while it does."""
    points = ("--points", "owner.fdatasync.wal", "--sync", "none")
    done = run("stress", "--dir", tmp_path / "rig", "--kill-points", "3", *points)
    assert (2, True) == (done.code, "leave no point to arm" in done.err)


def test_a_soak_is_a_run_of_its_own(run: Run, tmp_path: Path) -> None:
    """A count beside it would be ignored."""
    done = run("stress", "--dir", tmp_path / "rig", "--soak", "5", "--owner-kills", "3")
    assert (2, True) == (done.code, "leave out --owner-kills" in done.err)


def test_the_plan_is_printed_and_nothing_is_run(run: Run, tmp_path: Path) -> None:
    """One line for each cycle, the same for the same seed."""
    counts = ("--owner-kills", "2", "--kill-points", "2", "--points", "owner.rename.CURRENT", "--full-disks", "0")
    given = ("stress", "--print-plan", "--seed", "7", "--dir", tmp_path / "rig", *counts)
    done = run(*given)
    lines = done.out.decode().splitlines()
    assert (0, "", ["seed 7", 5]) == (done.code, done.err, [lines[0], len(lines)])
    assert {"owner.rename.CURRENT.before", "owner.rename.CURRENT.after"} == {line.split()[5] for line in lines[3:]}
    assert done == run(*given)
    assert not (tmp_path / "rig").exists()


@pytest.mark.parametrize("form", [(), ("--full",)])
def test_what_the_machine_cannot_do_is_said_with_its_count(
    run: Run, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """A green run must not claim power cuts that nobody made."""
    monkeypatch.setattr("lsmproc.cli.stress.plan_choice.missing_for", {"xfs": "mkfs.xfs is not installed"}.get)
    lines = run("stress", "--print-plan", *form).out.decode().splitlines()
    count = 500 if form else 5
    assert [f"NOT TRIED: {count} power cuts on xfs: mkfs.xfs is not installed"] == [
        line for line in lines if line.startswith("NOT TRIED")
    ]
    assert count == sum("/model power-cut" in line for line in lines)
    assert 0 == sum("/xfs " in line for line in lines)


def test_a_machine_without_mounts_says_so_for_all_that_needs_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And runs the rest; asked for nothing else, it refuses."""
    monkeypatch.setattr(
        "lsmproc.cli.stress.plan_choice.missing_for", lambda name: None if name == "model" else "only root may mount"
    )
    lines = run("stress", "--print-plan", "--full").out.decode().splitlines()
    assert [
        "NOT TRIED: 500 power cuts on ext4: only root may mount",
        "NOT TRIED: 500 power cuts on xfs: only root may mount",
        "NOT TRIED: 50 full disks on tmpfs: only root may mount",
        "NOT TRIED: 50 full disks on small-ext4: only root may mount",
    ] == [line for line in lines if line.startswith("NOT TRIED")]
    assert 0 == sum(" full-disk " in line for line in lines)
    done = run("stress", "--full-disks", "3")
    assert (2, True) == (done.code, "only root may mount" in done.err)


def test_the_full_form_is_as_large_as_the_documentation_says(run: Run) -> None:
    """1,000 owner kills, 500 worker kills, every point five times."""
    lines = run("stress", "--print-plan", "--full", "--seed", "1").out.decode().splitlines()
    faults = Counter(line.split()[4] for line in lines if line.startswith("#"))
    assert 1000 == faults["owner"] + faults["owner-reopening"]
    assert 500 == faults["flush-worker"] + faults["compaction-worker"]
    assert 5 * len(KILL_POINTS) == faults["kill-point"]


def test_a_run_whose_time_is_up_before_its_first_cycle_fails(run: Run, tmp_path: Path) -> None:
    """Nothing is known then."""
    given = ("stress", "--dir", tmp_path / "rig", "--seconds", "0.000001", "--owner-kills", "1")
    done = run(*given)
    assert (1, True) == (done.code, b"FAILED: nothing was tested" in done.out)
    asked = run(*given, "--json")
    assert (1, True) == (asked.code, json.loads(asked.out)["failed"])
