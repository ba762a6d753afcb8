"""doctor: each line can become WARN or BAD, and says what to do; looking leaves nothing behind."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import lsmproc
from lsmproc.config import LSMConfig
from lsmproc.doctor.examination import examine
from lsmproc.doctor.judgement import Finding, judge
from lsmproc.doctor.readings import OPTIONAL_PACKAGES, PACKAGES, Readings, take_readings
from lsmproc.storage import memory_limit, mount_table
from lsmproc.storage.disk_probe import ProbedDisk, SyncTimes, probe_disk
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.mount_table import Mount, mount_of, parse_mount

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
FINE_SYNC = SyncTimes(0.002, 0.01, 20)
FINE_DISK = ProbedDisk("", MIB, FINE_SYNC, FINE_SYNC)
GOOD = Readings(
    path="/data/store",
    looked_at="/data/store",
    exists=True,
    mount=Mount("/data", "ext4", ("rw", "relatime")),
    free_bytes=100 << 30,
    total_bytes=200 << 30,
    free_inodes=1_000_000,
    total_inodes=2_000_000,
    disk=FINE_DISK,
    open_files_limit=65536,
    memory_bytes=64 << 30,
    user=1000,
    owner=1000,
    processors=8,
    python="CPython 3.11.7",
    packages=PACKAGES | OPTIONAL_PACKAGES,
)

TROUBLE: list[tuple[str, str, dict[str, Any]]] = [
    *[
        ("file system", "WARN", {"mount": Mount("/", kind, ("rw",))})
        for kind in ("nfs", "nfs4", "cifs", "9p", "fuse.sshfs", "overlay", "tmpfs", "minix")
    ],
    ("file system", "WARN", {"mount": None}),
    ("mount options", "BAD", {"mount": Mount("/", "ext4", ("ro",))}),
    ("mount options", "WARN", {"mount": Mount("/", "ext4", ("rw", "nobarrier"))}),
    ("mount options", "WARN", {"mount": Mount("/", "ext4", ("rw", "barrier=0"))}),
    ("mount options", "WARN", {"mount": Mount("/", "ext4", ("rw", "sync"))}),
    ("free space", "BAD", {"free_bytes": 40 * MIB}),
    ("free space", "WARN", {"free_bytes": 200 * MIB}),
    ("free inodes", "BAD", {"free_inodes": 3}),
    ("free inodes", "WARN", {"free_inodes": 300}),
    ("directory", "BAD", {"accessible": False}),
    ("directory", "WARN", {"mode": 0o777}),
    ("directory", "WARN", {"owner": 0}),
    ("files", "BAD", {"foreign_files": ["000012.wal"]}),
    ("other files", "WARN", {"strangers": ["letter.txt"]}),
    ("other files", "BAD", {"strangers": ["REPAIR-UNFINISHED"]}),
    ("lock", "WARN", {"lock_held": True, "lock_text": "pid 7 on h (x) since y"}),
    ("lock", "WARN", {"lock_held": None, "lock_text": "pid 7 on h (x) since y", "lock_pid_lives": True}),
    ("manifest", "BAD", {"manifest_error": "CURRENT is missing"}),
    ("leftovers", "WARN", {"leftovers": ["tmp/1-1-1-0.sst"]}),
    ("open files", "BAD", {"open_files_limit": 32}),
    ("open files", "WARN", {"open_files_limit": 128}),
    ("file size", "BAD", {"file_size_limit": 10 * MIB}),
    ("memory", "BAD", {"memory_limit": 100 * MIB}),
    ("memory", "WARN", {"memory_limit": 300 * MIB}),
    ("processors", "WARN", {"processors": 1}),
    ("Python", "WARN", {"python": "PyPy 7.3"}),
    ("Python", "WARN", {"python_is_final": False}),
    ("packages", "BAD", {"packages": OPTIONAL_PACKAGES}),
    ("packages", "WARN", {"packages": PACKAGES}),
    ("packages", "WARN", {"packages": PACKAGES | OPTIONAL_PACKAGES | {"lz4": "4.2.9"}}),
    ("writing", "BAD", {"disk": None, "disk_error": "Read-only file system"}),
    ("fallocate", "BAD", {"disk": replace(FINE_DISK, reserve_error="No space left on device")}),
    ("fallocate", "WARN", {"disk": replace(FINE_DISK, reserved_bytes=0)}),
    ("fsync", "BAD", {"disk": replace(FINE_DISK, fsync=SyncTimes(1.5, 2, 7))}),
    ("fsync", "WARN", {"disk": replace(FINE_DISK, fsync=SyncTimes(0.07, 0.1, 20))}),
    ("fsync", "WARN", {"disk": replace(FINE_DISK, fsync=SyncTimes(0.002, 3, 20))}),
    ("fdatasync", "WARN", {"disk": replace(FINE_DISK, fdatasync=SyncTimes(2e-6, 1e-5, 20))}),
]


def judged(**changes: Any) -> dict[str, Finding]:
    """The findings on a good machine with these changes, by check."""
    return {finding.check: finding for finding in judge(replace(GOOD, **changes), LSMConfig(data_dir="/data/store"))}


def test_a_good_machine_is_all_ok() -> None:
    """Nobody is warned of nothing; and every check that there is can be in trouble."""
    findings = judged()
    assert {"OK"} == {finding.level for finding in findings.values()}
    assert findings.keys() == {check for check, _, _ in TROUBLE} - {"writing"}


@pytest.mark.parametrize(("check", "level", "changes"), TROUBLE)
def test_each_trouble_is_named_with_a_remedy_and_changes_no_other_line(
    check: str, level: str, changes: dict[str, Any]
) -> None:
    """One cause, one line."""
    findings = judged(**changes)
    assert (level, True, True) == (
        findings[check].level,
        bool(findings[check].meaning),
        bool(findings[check].remedy),
    )
    assert {check} == {name for name, finding in findings.items() if finding.level != "OK"}


def test_an_owner_in_another_container_is_said_to_be_there() -> None:
    """Its pid means nothing here."""
    held = {"lock_held": True, "lock_text": "pid 7 on h (x) since y", "lock_pid": 7}
    assert ["another container" in judged(**held, lock_pid_lives=lives)["lock"].meaning for lives in (False, True)] == [
        True,
        False,
    ]


def test_settings_decide_what_is_enough() -> None:
    """The same machine is too small for one store and not for another."""
    config = LSMConfig(data_dir="/data/store", max_open_files=100_000, compression="zstd")
    levels = {finding.check: finding.level for finding in judge(GOOD, config)}
    assert ("WARN", "OK") == (levels["open files"], levels["packages"])
    without = {finding.check: finding.level for finding in judge(replace(GOOD, packages=PACKAGES), config)}
    assert "BAD" == without["packages"]


def test_the_versions_asked_for_are_those_of_the_package() -> None:
    """They stand in two places, so a test compares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [*project["dependencies"], *project["optional-dependencies"]["zstd"]]
    assert sorted(f"{name}>={version}" for name, version in (PACKAGES | OPTIONAL_PACKAGES).items()) == sorted(stated)


def test_a_real_directory_is_looked_at_and_nothing_is_left(tmp_path: Path) -> None:
    """A store with all that a crash can leave in it."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"a", b"1")
    (tmp_path / "tmp" / "1-1-1-0.sst").write_bytes(b"")
    (tmp_path / "000999.sst").write_bytes(b"")
    (tmp_path / "letter.txt").write_bytes(b"")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    findings = {finding.check: finding for finding in examine(tmp_path)}
    assert before == {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert ("WARN", "2 files") == (findings["leftovers"].level, findings["leftovers"].measured)
    assert ("WARN", "letter.txt") == (findings["other files"].level, findings["other files"].measured)
    assert ("OK", True) == (findings["lock"].level, f"pid {os.getpid()}" in findings["lock"].measured)
    assert re.fullmatch(r"median [\d.]+ ms, longest [\d.]+ m?s of \d+", findings["fsync"].measured)


def test_an_open_store_is_seen_to_be_open(tmp_path: Path) -> None:
    """By the kernel's list of locks; the lock is not touched."""
    with lsmproc.open(tmp_path, background="inline") as db:
        lock = {finding.check: finding for finding in examine(tmp_path, write=False)}["lock"]
        assert ("WARN", True) == (lock.level, f"pid {os.getpid()}" in lock.measured)
        db.put(b"a", b"1")
    assert "OK" == {finding.check: finding for finding in examine(tmp_path, write=False)}["lock"].level


def test_without_writing_no_file_is_made_and_no_sync_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a directory that must not be touched."""
    flags: list[int] = []
    really_open = PosixFileSystem.open

    def watched(self: PosixFileSystem, name: str, flag: int) -> int:
        flags.append(flag)
        return really_open(self, name, flag)

    monkeypatch.setattr(PosixFileSystem, "open", watched)
    with lsmproc.open(tmp_path, background="inline"):
        pass
    flags.clear()
    checks = {finding.check for finding in examine(tmp_path, write=False)}
    assert [set(), {os.O_RDONLY}] == [checks & {"fsync", "fdatasync", "fallocate"}, set(flags)]


def test_a_path_that_is_not_there_is_judged_by_the_directory_above(tmp_path: Path) -> None:
    """And is not made."""
    readings = take_readings(str(tmp_path / "new" / "store"), write=True)
    assert (str(tmp_path), False, []) == (readings.looked_at, readings.exists, os.listdir(tmp_path))


def test_a_damaged_and_an_unfinished_store_are_bad(tmp_path: Path) -> None:
    """Without CURRENT, with a bad one, and in the middle of a repair."""
    with lsmproc.open(tmp_path / "store", background="inline") as db:
        db.put(b"a", b"1")
    (tmp_path / "store" / "CURRENT").write_bytes(b"?")
    assert "BAD" == {finding.check: finding for finding in examine(tmp_path / "store")}["manifest"].level
    (tmp_path / "store" / "CURRENT").unlink()
    (tmp_path / "store" / "REPAIR-UNFINISHED").write_bytes(b"")
    findings = {finding.check: finding for finding in examine(tmp_path / "store")}
    assert ["BAD", "BAD"] == [findings["manifest"].level, findings["other files"].level]


def test_a_disk_that_takes_no_file_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the probe's file is gone after a failed sync as well."""

    def refuse(*_: object) -> None:
        raise lsmproc.NoSpaceError(28, "No space left on device", "x")

    with monkeypatch.context() as patch:
        patch.setattr(PosixFileSystem, "write_all", refuse)
        findings = {finding.check: finding for finding in examine(tmp_path)}
    assert ("BAD", "No space left on device") == (findings["writing"].level, findings["writing"].measured)
    assert [] == os.listdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(PosixFileSystem, "allocate", refuse)
        findings = {finding.check: finding for finding in examine(tmp_path)}
    assert ("BAD", []) == (findings["fallocate"].level, os.listdir(tmp_path))


def test_the_probe_stops_on_a_disk_that_is_very_slow(tmp_path: Path) -> None:
    """Some syncs are enough to know it."""
    ticks = iter(range(0, 10_000, 4))
    fs = PosixFileSystem(str(tmp_path))
    try:
        probed = probe_disk(fs, lambda: float(next(ticks)))
    finally:
        fs.shut()
    assert (True, 4.0) == (probed.fsync.count < 5, probed.fsync.median)


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deepest mount that covers the path, the latest of two, and names with spaces."""
    line = r"36 35 98:0 /root /mnt/my\040disk rw,noatime master:1 - nfs4 server:/x rw,vers=4"
    assert Mount("/mnt/my disk", "nfs4", ("rw", "noatime", "vers=4")) == parse_mount(line)
    assert None is parse_mount("nonsense")
    table = tmp_path / "mountinfo"
    here = str(tmp_path).replace(" ", r"\040")
    table.write_text(
        f"1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / {here} rw - xfs /dev/b rw\n3 1 8:3 / {here} ro - tmpfs none rw\n"
        f"4 1 8:4 / {here}/deeper rw - btrfs /dev/c rw\n"
    )
    monkeypatch.setattr(mount_table, "_TABLE", str(table))
    assert ["tmpfs", "ext4"] == [mount.kind for path in (tmp_path, Path("/")) if (mount := mount_of(str(path)))]
    monkeypatch.setattr(mount_table, "_TABLE", str(tmp_path / "none"))
    assert None is mount_of(str(tmp_path))


@pytest.mark.parametrize(
    ("groups", "name"), [("0::/a/b\n", "a/memory.max"), ("4:memory,cpu:/a/b\n", "memory/a/memory.limit_in_bytes")]
)
def test_the_lowest_memory_limit_of_the_groups_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, name: str
) -> None:
    """Both versions of control groups; "max" and a huge number mean none."""
    (tmp_path / "groups").write_text(groups)
    (tmp_path / "memory" / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "a" / "b" / "memory.limit_in_bytes").write_text(f"{1 << 62}\n")
    monkeypatch.setattr(memory_limit, "_GROUPS", str(tmp_path / "groups"))
    monkeypatch.setattr(memory_limit, "_ROOT", str(tmp_path))
    assert None is memory_limit.memory_limit()
    (tmp_path / name).write_text("1048576\n")
    assert MIB == memory_limit.memory_limit()


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    """A file is no directory."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="file"):
        examine(tmp_path / "file")


def test_the_last_owner_is_known_to_be_gone(tmp_path: Path) -> None:
    """A dead process's name in LOCK is no lock."""
    with lsmproc.open(tmp_path, background="inline"):
        pass
    pid = max(psutil.pids()) + 100_000
    text = f'{{"pid": {pid}, "host": "h", "command": "c", "since": "s"}}'
    (tmp_path / "LOCK").write_text(text)
    readings = take_readings(str(tmp_path), write=False)
    assert (pid, False, False) == (readings.lock_pid, readings.lock_pid_lives, readings.lock_held)
