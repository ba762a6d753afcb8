"""A sync fails: writes stop and reads go on, and the next owner trusts nothing that only the page cache holds.

What makes this hard is that the kernel marks the pages of a failed writeback clean: they can be read as long as memory
lasts, and no later sync writes them. Three ways to show that nothing is lost by it: a file system that forgets what
it failed to sync, a real ext4 on a loop device whose backing file has no room, and failing calls in real processes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import DurabilityError
from lsmproc.storage.file_system import PosixFileSystem, storage_error
from tests.faults.failing_device import NOT_BROKEN
from tests.tally import Tally

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120.0
BLOCK_BYTES = 4096
LARGEST_PAGE_BYTES = 1 << 16


class ForgetfulDisk:
    """What the disk under a directory holds, and which bytes of its files only the page cache has.

    Attributes:
        failing: every sync fails, and its pages are marked clean all the same.
    """

    def __init__(self) -> None:
        self.failing = False
        self.dirty: dict[str, set[int]] = {}  # blocks that the next sync writes
        self.lost: dict[str, dict[int, bytes]] = {}  # clean in the cache; what the disk holds in their place
        self.stored: dict[str, dict[int, bytes]] = {}  # what the disk holds where a dirty block is

    def open_file_system(self, path: str) -> PosixFileSystem:
        """For ``Env(open_file_system=...)``."""
        return ForgetfulFileSystem(path, self)

    def drop_caches(self, directory: Path) -> int:
        """Forget all clean pages: from now on the disk's bytes are read. Returns how many blocks changed."""
        changed = 0
        for name, blocks in self.lost.items():
            if not (directory / name).exists():
                continue
            with open(directory / name, "r+b") as file:
                for block, data in blocks.items():
                    if block not in self.dirty.get(name, set()):
                        file.seek(block * BLOCK_BYTES)
                        file.write(data)
                        changed += 1
        self.lost.clear()
        return changed


class ForgetfulFileSystem(PosixFileSystem):
    """Files whose failed syncs leave clean pages; only log segments are followed."""

    def __init__(self, path: str, disk: ForgetfulDisk) -> None:
        super().__init__(path)
        self._disk = disk

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:  # type: ignore[override]
        """The blocks become dirty; what the disk holds there is remembered once."""
        name, disk = self._name_of(fd), self._disk
        for block in range(offset // BLOCK_BYTES, (offset + len(data) - 1) // BLOCK_BYTES + 1):
            stored = disk.stored.setdefault(name, {})
            if block not in disk.dirty.setdefault(name, set()):
                forgotten = disk.lost.get(name, {}).get(block)
                stored[block] = os.pread(fd, BLOCK_BYTES, block * BLOCK_BYTES) if forgotten is None else forgotten
                disk.dirty[name].add(block)
        return os.pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """Write the dirty blocks, or fail and take them for clean."""
        name, disk = self._name_of(fd), self._disk
        blocks = disk.dirty.pop(name, set())
        stored = disk.stored.pop(name, {})
        if disk.failing and name.endswith(".wal"):
            disk.lost.setdefault(name, {}).update(stored)
            raise storage_error(OSError(errno.EIO, os.strerror(errno.EIO)), name)
        for block in blocks:
            disk.lost.get(name, {}).pop(block, None)

    def sync_directory(self, name: str = ".") -> None:
        """Names are not what this is about."""


@pytest.fixture
def disk() -> ForgetfulDisk:
    """One that works, for a start."""
    return ForgetfulDisk()


def open_store(directory: Path, disk: ForgetfulDisk, **options: object) -> LSMStore:
    """Without threads: syncs come when they are asked for."""
    config = LSMConfig.from_options(directory, **{"wal_sync": "none", "memtable_max_bytes": 1 << 16, **options})
    return LSMStore(config, env=Env(background="inline", open_file_system=disk.open_file_system))


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("value_bytes", [10, 3000])
def test_after_a_failed_sync_writes_stop_and_the_next_owner_loses_nothing(
    tmp_path: Path, disk: ForgetfulDisk, rotated: bool, value_bytes: int
) -> None:
    """The pages are gone from the cache after the next owner's first sync: by then the disk must have them."""
    db = open_store(tmp_path / "db", disk)
    db.put(b"promised", b"1", sync=True)
    state = {b"promised": b"1"}
    for number in range(12):
        state[b"%d" % number] = bytes([number + 1]) * value_bytes
        db.put(b"%d" % number, state[b"%d" % number])
    if rotated:
        db._write_path._on_rotate = lambda: None  # The sealed memtable waits for its flush.
        db._write_path.rotate()
        state[b"behind"] = b"2"
        db.put(b"behind", b"2")
    disk.failing = True
    with pytest.raises(DurabilityError):
        db.sync()
    disk.failing = False
    for _ in range(2):
        with pytest.raises(DurabilityError):
            db.put(b"refused", b"", sync=True)
        with pytest.raises(DurabilityError):
            db.put(b"refused", b"")
        with pytest.raises(DurabilityError):
            db.sync()
    assert state == dict(db.range())
    db.close()
    second = open_store(tmp_path / "db", disk)
    assert state == dict(second.range())
    second.sync()
    disk.drop_caches(tmp_path / "db")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    second.close()
    with open_store(tmp_path / "copy", ForgetfulDisk()) as third:
        assert state == dict(third.range())


def test_what_was_replayed_stays_readable_for_the_owner_after_that(tmp_path: Path, disk: ForgetfulDisk) -> None:
    """An owner that never syncs dies, and memory was short meanwhile: its predecessor's pages were written again."""
    db = open_store(tmp_path / "db", disk)
    db.put(b"key", b"value")
    disk.failing = True
    with pytest.raises(DurabilityError):
        db.sync()
    disk.failing = False
    db.close()
    open_store(tmp_path / "db", disk).close()
    disk.drop_caches(tmp_path / "db")
    with open_store(tmp_path / "db", disk) as third:
        assert {b"key": b"value"} == dict(third.range())


def test_the_disk_model_forgets(tmp_path: Path, disk: ForgetfulDisk) -> None:
    """Proof that the two tests above can fail: without another owner the write is gone with the cache."""
    db = open_store(tmp_path / "db", disk)
    db.put(b"key", b"value")
    disk.failing = True
    with pytest.raises(DurabilityError):
        db.sync()
    db.close()
    assert 0 < disk.drop_caches(tmp_path / "db")
    with open_store(tmp_path / "db", disk) as second:
        assert {} == dict(second.range())


def test_a_store_that_was_closed_in_order_is_opened_without_writing_its_log_again(tmp_path: Path) -> None:
    """Everything is below a promise, but for the promise itself: one write of a few pages, whatever the log's size."""
    written: list[tuple[str, int]] = []

    class Watching(PosixFileSystem):
        def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:  # type: ignore[override]
            written.append((self._name_of(fd), len(data)))
            return os.pwrite(fd, data, offset)

    def opened() -> LSMStore:
        config = LSMConfig.from_options(tmp_path / "db", wal_sync="interval")
        return LSMStore(config, env=Env(background="inline", open_file_system=Watching))

    with opened() as db:
        for number in range(500):
            db.put(b"%d" % number, b"v" * 1000)
        segment = f"{db._parts.log.current.number:06d}.wal"  # type: ignore[union-attr]
    written.clear()
    with opened() as db:
        assert 500 == len(list(db.range()))
        db.sync()
    again = [size for name, size in written if name == segment]
    assert len(again) <= 1
    assert sum(again) <= 2 * LARGEST_PAGE_BYTES


@pytest.fixture
def broken_device(tmp_path: Path, tally: Tally) -> Path:
    """Where the scripts below may mount what they like: they run in a mount namespace of their own."""
    if os.geteuid() != 0:
        tally.skip("syncs that fail on a real device", 2, "mounting needs root")
    for tool in ("unshare", "mkfs.ext4", "losetup", "mount", "filefrag", "fallocate"):
        if shutil.which(tool) is None:
            tally.skip("syncs that fail on a real device", 2, f"{tool} is not installed")
    if not Path("/dev/loop-control").exists():
        tally.skip("syncs that fail on a real device", 2, "this machine has no loop devices")
    return tmp_path


_TRIALS = 3


@pytest.mark.parametrize("drop_caches", [False, True])
def test_a_device_that_refuses_a_sync_costs_nothing_that_was_acknowledged(
    broken_device: Path, tally: Tally, drop_caches: bool
) -> None:
    """The image lies on a full tmpfs, so that ext4 itself gets EIO; dropping its cache must change nothing."""
    script = [sys.executable, "-m", "tests.faults.failing_device"]
    for trial in range(_TRIALS):
        place = broken_device / str(trial)
        place.mkdir()
        done = subprocess.run(
            ["unshare", "-m", "--propagation", "private", *script, place, "drop" if drop_caches else "keep"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        if NOT_BROKEN not in done.stderr:
            break
    else:
        tally.skip("syncs that fail on a real device", 1, f"the device wrote after all, {_TRIALS} times")
    assert 0 == done.returncode, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert 0 < report["acknowledged"]
    assert report["acknowledged"] == report["found"]
    tally.add("syncs that fail on a real device")
