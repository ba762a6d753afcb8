"""verify: finds what is damaged, names file and offset, changes nothing, and does not cry wolf after a crash."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.errors import LockedError, NotAStoreError, StorageError
from lsmproc.formats.log_format import KIND_WAL, LogHeader, put_body
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.manifest import LogManifest, read_manifest
from lsmproc.storage.version import Version
from lsmproc.storage.wal_writer import PwriteWal
from lsmproc.verification import verify_store
from tests.tally import Tally

Run = Callable[..., Any]

ROOT = Path(__file__).parents[2]
FLIPS = 40  # bytes damaged in each file


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store with tables in two levels and records in the log."""
    path = tmp_path / "store"
    with lsmproc.open(path, background="inline", sstable_max_bytes="4KiB", block_bytes=512) as db:
        for round_number in range(3):
            for number in range(300):
                db.put(b"key %04d" % number, b"value %d of round %d" % (number, round_number))
            db.flush_memtable()
            if round_number == 1:
                db.compact_level(0)
        db.put(b"in the log", b"1")
        db.delete(b"key 0000")
    return path


def test_a_sound_store_is_sound(run: Run, store: Path) -> None:
    """Exit code 0, and the counts of what was read."""
    done = run("verify", store, "--json")
    report = json.loads(done.out)
    assert (0, "sound", [], []) == (done.code, report["verdict"], report["problems"], report["notes"])
    assert (True, 2) == (report["tables"] > 2, report["log_records"])
    assert b": sound. " in run("verify", store).out


def test_verify_changes_nothing(run: Run, store: Path) -> None:
    """No byte, no file, no time of change: not even of LOCK."""
    before = dict(_states(store))
    assert 0 == run("verify", store).code
    assert before == dict(_states(store))


def test_every_flipped_bit_in_a_table_is_found(store: Path) -> None:
    """Wherever it lies: blocks, filter, index, properties, footer."""
    chance = random.Random(3)
    for path in sorted(store.glob("*.sst")):
        sound = path.read_bytes()
        for offset in {0, len(sound) - 1, *(chance.randrange(len(sound)) for _ in range(FLIPS))}:
            path.write_bytes(_flipped(sound, offset))
            report = verify_store(store)
            assert ("damaged", {path.name}) == (report.verdict, {problem.file for problem in report.problems}), offset
        path.write_bytes(sound)


@pytest.mark.parametrize("pattern", ["*.wal", "MANIFEST-*", "CURRENT"])
def test_a_flipped_bit_in_log_or_manifest_is_found_or_loses_nothing(store: Path, pattern: str) -> None:
    """A checksum that a later one covers, and the last promise, may go unnoticed: every record is there."""
    (path,) = [path for path in store.glob(pattern) if path.read_bytes().strip(b"\0")][-1:]
    sound, whole = path.read_bytes(), verify_store(store)
    for offset in range(len(sound.rstrip(b"\0"))):
        path.write_bytes(_flipped(sound, offset))
        report = verify_store(store)
        if report.verdict == "sound":
            assert (whole.table_records, whole.log_records) == (report.table_records, report.log_records), offset


def test_a_bad_block_is_named_with_its_offset(run: Run, store: Path) -> None:
    """And a second one in the same table as well."""
    path = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    path.write_bytes(_flipped(_flipped(path.read_bytes(), 20), 1500))
    done = run("verify", store, "--json")
    problems = json.loads(done.out)["problems"]
    assert (1, 2) == (done.code, len(problems))
    assert [True, True] == [problem["offset"] <= at for problem, at in zip(problems, (20, 1500), strict=True)]
    assert f"{path.name} at byte".encode() in run("verify", store).out


def test_damage_in_one_file_does_not_hide_damage_in_another(store: Path) -> None:
    """The search goes on to the end."""
    first, second, *_ = sorted(store.glob("*.sst"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    (segment,) = [path for path in store.glob("*.wal") if path.read_bytes().strip(b"\0")]
    segment.write_bytes(_flipped(segment.read_bytes(), 5))
    problems = verify_store(store).problems
    assert {first.name, second.name, segment.name} == {problem.file for problem in problems}


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.wal"])
def test_a_missing_file_is_damage(store: Path, pattern: str) -> None:
    """A store without it cannot be opened, or would lack writes."""
    for path in store.glob(pattern):
        path.unlink()
    report = verify_store(store)
    assert ("damaged", 1) == (report.verdict, len(report.problems))


def test_tables_of_two_stores_that_were_swapped_are_found(store: Path, tmp_path: Path) -> None:
    """A right file in a wrong place is as bad as a wrong one."""
    with lsmproc.open(tmp_path / "other", background="inline") as db:
        db.put(b"key 0001", b"foreign")
        db.flush_memtable()
    (foreign,) = (tmp_path / "other").glob("*.sst")
    target = min(store.glob("*.sst"))
    target.write_bytes(foreign.read_bytes())
    assert {target.name} == {problem.file for problem in verify_store(store).problems}


def test_what_a_crash_leaves_is_noted_and_sound(run: Run, store: Path) -> None:
    """A torn tail, an orphan table, an unfinished output."""
    (segment,) = [path for path in store.glob("*.wal") if path.read_bytes().strip(b"\0")]
    segment.write_bytes(segment.read_bytes().rstrip(b"\0") + b"\xce\x01\x02")
    (store / "000999.sst").write_bytes(b"unfinished")
    (store / "tmp" / "1-1-1-0.sst").write_bytes(b"unfinished")
    done = run("verify", store)
    assert (0, 3) == (done.code, done.out.count(b"note: "))
    assert b"torn tail" in done.out


def test_a_file_that_cannot_be_read_is_no_verdict(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: nobody knows whether it is damaged."""
    table = min(path.name for path in store.glob("*.sst"))
    really_open = PosixFileSystem.open

    def refuse(self: PosixFileSystem, name: str, flags: int) -> int:
        if name == table:
            raise StorageError(13, "Permission denied", name)
        return really_open(self, name, flags)

    monkeypatch.setattr(PosixFileSystem, "open", refuse)
    done = run("verify", store)
    assert (2, True) == (done.code, f"{table}: the file could not be read: Permission denied".encode() in done.out)


def test_an_open_store_is_not_verified_and_can_be_afterwards(store: Path) -> None:
    """The lock is asked for, and given back."""
    with lsmproc.open(store, background="inline"):
        with pytest.raises(LockedError, match=f"pid {os.getpid()}"):
            verify_store(store)
    assert "sound" == verify_store(store).verdict


def test_a_store_without_a_lock_file_can_be_verified(store: Path) -> None:
    """A backup may leave it out."""
    (store / "LOCK").unlink()
    assert ("sound", False) == (verify_store(store).verdict, (store / "LOCK").exists())


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    """An empty directory, a file, nothing."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("empty", "file", "nothing"):
        with pytest.raises(NotAStoreError, match=name):
            verify_store(tmp_path / name)


def test_progress_reaches_the_total(store: Path) -> None:
    """The bar ends where it said it would."""
    seen: list[tuple[int, int]] = []
    verify_store(store, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert sorted(seen) == seen


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


def _states(store: Path) -> Iterator[tuple[str, object]]:
    for path in sorted(store.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else sorted(os.listdir(path))
        yield path.name, (content, path.stat().st_mtime_ns)


def test_a_store_on_a_read_only_mount_is_verified(run: Run, store: Path, tally: Tally) -> None:
    """In a mount namespace of its own, which takes the mount with it."""
    script = (
        f"mount --bind '{store}' '{store}' && mount -o remount,bind,ro '{store}' && ! touch '{store}/x' 2>/dev/null "
        f"&& exec '{sys.executable}' -m lsmproc verify '{store}'"
    )
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    if os.geteuid() or shutil.which("unshare") is None:
        tally.skip("read-only mounts", 1, "root and unshare are needed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    if "lsmproc" not in done.stdout + done.stderr and done.returncode:
        tally.skip("read-only mounts", 1, f"a mount is refused here: {done.stderr.strip()}")
    assert (0, True) == (done.returncode, ": sound. " in done.stdout), done.stderr
    tally.add("read-only mounts verified")


def test_no_file_is_opened_for_writing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the permissions would allow."""
    really_open = PosixFileSystem.open
    flags: set[int] = set()

    def watched(self: PosixFileSystem, name: str, flag: int) -> int:
        flags.add(flag)
        return really_open(self, name, flag)

    monkeypatch.setattr(PosixFileSystem, "open", watched)
    verify_store(store)
    assert {os.O_RDONLY} == flags


def published(store: Path, change: Callable[[Version], Version]) -> None:
    """Write the store's manifest anew, with a changed version in it."""
    fs = PosixFileSystem(str(store))
    try:
        manifest = read_manifest(fs)
        number = manifest.version.next_file_number + 100
        LogManifest(fs, manifest.store_uuid, change(manifest.version), lambda: number).close()
    finally:
        fs.shut()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"last_sequence": 1}, "holds a sequence number above the last one"),
        ({"smallest": b"z"}, "begins after it ends"),
        ({"smallest_sequence": 1 << 63}, "the sequence numbers of"),
        ({"tombstones": 10**6}, "more tombstones than records"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_found(store: Path, change: dict[str, Any], complaint: str) -> None:
    """Bounds of keys and sequence numbers, in a manifest whose checksums are all right."""

    def changed(version: Version) -> Version:
        if "last_sequence" in change:
            return replace(version, **change)
        newest, *others = version.levels[0]
        return replace(version, levels=((replace(newest, **change), *others), *version.levels[1:]))

    published(store, changed)
    problems = [problem for problem in verify_store(store).problems if problem.file.startswith("MANIFEST")]
    assert any(complaint in problem.message for problem in problems)


def test_tables_of_one_level_that_overlap_are_found(store: Path) -> None:
    """A read would look into one of them only."""

    def overlapping(version: Version) -> Version:
        newest, *_ = version.levels[0]
        return replace(version, levels=((), *version.levels[1:6], (newest, *version.levels[6])))

    published(store, overlapping)
    report = verify_store(store)
    assert ("damaged", True) == (report.verdict, "overlap" in report.problems[0].message)


def test_sequence_numbers_that_go_back_in_the_log_are_found(tmp_path: Path) -> None:
    """Each frame checks, and yet the newest record would not be the last one."""
    with lsmproc.open(tmp_path, background="inline"):
        pass
    fs = PosixFileSystem(str(tmp_path))
    try:
        manifest = read_manifest(fs)
        number = manifest.version.log_number
        if (tmp_path / f"{number:06d}.wal").exists():
            (tmp_path / f"{number:06d}.wal").unlink()
        wal = PwriteWal(fs, number, 0)
        wal.begin(LogHeader(KIND_WAL, manifest.store_uuid, number, 1), 0)
        for sequence in (7, 9, 8):
            wal.append(put_body(sequence, b"k", b"v"), sequence)
        wal.close()
    finally:
        fs.shut()
    (problem,) = verify_store(tmp_path).problems
    assert "the sequence numbers go back from 9 to 8" in problem.message


def test_many_leftovers_of_a_crash_are_one_note(run: Run, store: Path) -> None:
    """Of a kind; JSON names each."""
    for number in range(900, 912):
        (store / f"{number:06}.sst").write_bytes(b"left")
    (store / "letter").touch()
    done = run("verify", store)
    notes = [line for line in done.out.decode().splitlines() if line.startswith("note: ")]
    each = "each is not part of the store any more; the next open removes it"
    assert f"note: 12 files, 000900.sst to 000911.sst: {each}" in notes
    assert "note: letter is no file of a store; it is left alone" in notes
    assert 2 == len(notes)
    assert 13 == len(json.loads(run("verify", store, "--json").out)["notes"])
