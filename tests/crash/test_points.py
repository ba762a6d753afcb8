"""A process dies at, or an error comes from, one operation on a file: which ones there are, and what follows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsmproc.errors import NoSpaceError, StorageError
from lsmproc.storage.file_system import CREATE_NEW
from lsmproc.stress.armed_disk import Armed, ArmedFileSystem, Trigger, arm, disarm, was_hit
from lsmproc.stress.cycle_result import CycleResult
from lsmproc.stress.points import ERROR_POINTS, KILL_POINTS, POINTS, chosen, file_kind
from lsmproc.stress.report import StressReport
from tests.tally import Tally

RunPlan = Callable[..., StressReport]

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "gave up": 0, "errors": 0}


def armed(point: str, **changes: float) -> Armed:
    """The point, at its first operation, half-way through a write."""
    return Armed(**{"point": point, "token": 1, "skip": 0, "share": 0.5, "delay_seconds": 0.05} | changes)


def disk(directory: Path, point: str, **changes: float) -> ArmedFileSystem:
    """A file system in ``directory / "store"`` where the point is armed."""
    (directory / "store").mkdir()
    return ArmedFileSystem(str(directory / "store"), Trigger(str(directory), armed(point, **changes)))


def test_there_are_enough_points_of_every_role_and_each_has_its_name() -> None:
    """More than thirty deaths, and every name is role.operation.file.moment."""
    assert len(KILL_POINTS) >= 30
    assert {"owner", "flush", "compaction"} == {name.split(".")[0] for name in KILL_POINTS}
    assert {4} == {len(name.split(".")) for name in POINTS}
    assert set(POINTS) == {*KILL_POINTS, *ERROR_POINTS}
    wanted = {"owner.rename.CURRENT.before", "flush.fdatasync.table.after", "compaction.write.table.torn"}
    assert wanted | {"owner.unlink.wal.before"} <= set(KILL_POINTS)


def test_points_are_chosen_by_the_beginning_of_their_names() -> None:
    """Whole words, and nothing that the run can never reach."""
    assert ("owner.rename.CURRENT.before", "owner.rename.CURRENT.after") == chosen(
        KILL_POINTS, ("owner.rename.CURRENT", "owner.ren"), syncs=True
    )
    assert () == chosen(KILL_POINTS, ("owner.fdatasync.wal",), syncs=False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("000012.wal", "wal"), ("tmp/3-17-1-0.sst", "table"), ("000013.sst", "table"), ("MANIFEST-000007", "manifest"),
     ("tmp/CURRENT-7", "CURRENT"), ("LOCK", "LOCK"), (".", "directory"), ("tmp", "directory")],
)  # fmt: skip
def test_every_file_of_a_store_has_a_kind(name: str, kind: str) -> None:
    """By which points name it."""
    assert kind == file_kind(name)


def test_an_armed_error_comes_once_and_at_the_right_operation(tmp_path: Path) -> None:
    """The first one passes, the second one fails, and from then on the disk works."""
    fs = disk(tmp_path, "owner.create.wal.ENOSPC", skip=1)
    try:
        fs.close(fs.open("000001.wal", CREATE_NEW))
        fs.close(fs.open("000002.sst", CREATE_NEW))
        assert not was_hit(str(tmp_path), 1)
        with pytest.raises(NoSpaceError, match=r"000003\.wal"):
            fs.open("000003.wal", CREATE_NEW)
        assert was_hit(str(tmp_path), 1)
        fs.close(fs.open("000003.wal", CREATE_NEW))
    finally:
        fs.shut()


def test_a_short_write_takes_half_and_says_so_and_an_error_may_leave_half(tmp_path: Path) -> None:
    """As the system calls do."""
    for point, size in (("owner.write.wal.short", 5), ("owner.write.wal.EIO", 5)):
        directory = tmp_path / point
        directory.mkdir()
        fs = disk(directory, point)
        fd = fs.open("000001.wal", CREATE_NEW)
        try:
            if point.endswith("short"):
                assert size == fs.pwrite(fd, b"0123456789", 0)
            else:
                with pytest.raises(StorageError, match=r"000001\.wal"):
                    fs.write_all(fd, b"0123456789", 0)
            assert size == fs.size(fd)
        finally:
            fs.close(fd)
            fs.shut()


def test_only_one_process_takes_what_is_armed(tmp_path: Path) -> None:
    """Two workers may come to the point at the same time."""
    point = armed("flush.create.table.EIO")
    arm(str(tmp_path), point)
    assert Armed.read(str(tmp_path), "flush") == point
    assert Armed.read(str(tmp_path), "compaction") is None
    disarm(str(tmp_path))
    assert Armed.read(str(tmp_path), "flush") is None
    first, second = disk(tmp_path, point.point), ArmedFileSystem(str(tmp_path), Trigger(str(tmp_path), point))
    try:
        with pytest.raises(StorageError):
            first.open("tmp.sst", CREATE_NEW)
        second.close(second.open("tmp.sst", CREATE_NEW))
    finally:
        first.shut()
        second.shut()


@pytest.mark.parametrize(("moment", "left"), [("before", b""), ("torn", b"01234"), ("after", b"0123456789")])
def test_a_process_dies_before_after_or_in_the_middle_of_a_write(tmp_path: Path, moment: str, left: bytes) -> None:
    """What it leaves tells which."""
    (tmp_path / "store").mkdir()
    arm(str(tmp_path), armed(f"owner.write.wal.{moment}"))
    program = (
        "import sys; from lsmproc.stress.armed_disk import *;"
        "fs = ArmedFileSystem(sys.argv[1] + '/store', Trigger(sys.argv[1], Armed.read(sys.argv[1], 'owner')));"
        "fs.write_all(fs.open('000001.wal', CREATE_NEW), b'0123456789', 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=False)
    assert (-signal.SIGKILL, left) == (done.returncode, (tmp_path / "store" / "000001.wal").read_bytes())


def result(point: str, *, hit: bool) -> CycleResult:
    """A cycle that armed the point."""
    return CycleResult(0, 0, 1, "kill-point", "tiny", "mix", 1, point=point, hit=hit)


def test_a_point_that_is_never_reached_fails_the_run_once_each_was_armed() -> None:
    """Or the table of points would claim what nobody has tried."""
    names = KILL_POINTS[:2]
    report = StressReport(1, 2, points={"kill-point": names})
    report.cycles.append(result(names[0], hit=True))
    assert (False, []) == (report.failed, report.unreached())
    report.cycles.append(result(names[1], hit=False))
    assert (True, [names[1]]) == (report.failed, report.unreached())
    assert f"FAILED: the point {names[1]} was never reached" in list(report.lines())
    assert {names[0]: (1, 1), names[1]: (1, 0)} == report.figures()["points"]["kill-point"]
    report.cycles.append(result(names[1], hit=True))
    assert not report.failed


@pytest.mark.timeout(1800)
def test_a_process_that_dies_at_any_point_loses_nothing(run_plan: RunPlan, full: bool, tally: Tally) -> None:
    """Each point in the long form; in the short one those of the changes that must not be half done."""
    short = ("owner.rename", "owner.write.wal.torn", "owner.unlink.wal.after", "flush.fdatasync", "compaction.write")
    count = 2 * len(KILL_POINTS) if full else len(chosen(KILL_POINTS, short, syncs=True))
    report = run_plan(
        seed=31, kill_points=count, points=() if full else short, interval_seconds=(0.01, 0.05), seconds=1700.0
    )
    figures = report.figures()
    assert (NOTHING_BROKEN, [], True) == ({k: figures[k] for k in NOTHING_BROKEN}, report.unreached(), report.complete)
    assert count == sum(hit for _, hit in figures["points"]["kill-point"].values())
    tally.add("deaths at a named operation", count)


@pytest.mark.timeout(1800)
def test_a_disk_error_at_any_point_loses_nothing(run_plan: RunPlan, full: bool, tally: Tally) -> None:
    """The application sees an error of the package, or none, if a worker met it."""
    short = ("owner.fdatasync.wal.EIO", "owner.write.wal.ENOSPC", "owner.write.wal.short", "owner.rename.table.EIO",
             "owner.fdatasync.manifest.EIO", "flush.write.table", "compaction.create.table.ENOSPC")  # fmt: skip
    count = len(ERROR_POINTS) if full else len(chosen(ERROR_POINTS, short, syncs=True))
    report = run_plan(
        seed=32, disk_errors=count, points=() if full else short, interval_seconds=(0.01, 0.05), seconds=1700.0
    )
    figures = report.figures()
    assert (NOTHING_BROKEN, [], True) == ({k: figures[k] for k in NOTHING_BROKEN}, report.unreached(), report.complete)
    synced = [cycle.victim for cycle in report.cycles if cycle.point == "owner.fdatasync.wal.EIO"]
    assert all("DurabilityError, opened again" in victim for victim in synced), synced
    tally.add("disk errors at a named operation", count)


def test_nothing_armed_costs_no_error(tmp_path: Path) -> None:
    """A file system whose trigger has no point is the real one."""
    fs = ArmedFileSystem(str(tmp_path), Trigger(str(tmp_path)))
    fd = fs.open("000001.wal", CREATE_NEW)
    try:
        fs.write_all(fd, b"frame", 0)
        fs.fdatasync(fd)
        fs.rename("000001.wal", "000002.wal")
        fs.sync_directory()
        assert (b"frame", ["000002.wal"]) == (fs.pread(fd, 10, 0), os.listdir(tmp_path))
    finally:
        fs.close(fd)
        fs.shut()
