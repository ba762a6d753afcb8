"""Where the store under test lies, and how power is lost there.

A plain directory never loses power. A loop volume is an image with a real ext4 or xfs on it: the file system's own
shutdown call forgets everything that is not on the disk, and mounting it again replays its journal (the call is
described with FS_IOC_SHUTDOWN in the kernel's ext4 and xfs headers). The model is a directory whose owner writes down
each operation; the power cut itself is computed in the owner, see ``fragile_disk``. Small volumes fill up.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Protocol

from lsmproc.storage.file_system import CREATE_NEW, READ, PosixFileSystem
from lsmproc.stress.disk_model import POLICIES
from lsmproc.stress.faults import SMALL_VOLUMES
from lsmproc.stress.fragile_disk import AFTER_CUT
from lsmproc.stress.owner_under_test import OwnerUnderTest

_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_FORGET_ALL = 2  # what the journal has not committed is lost
_COMMIT_FIRST = 1  # the journal is committed, data that was not written back is lost
_IMAGE_BYTES = 384 << 20  # sparse; xfs wants 300 MiB at least
_COMMAND_SECONDS = 60.0
_BUSY_SECONDS = 10.0
_SMALL_IMAGE_BYTES = 96 << 20  # sparse
_BALLAST = "ballast"
_SWITCH = "switch"  # the call that loses power needs a file of the file system
_MAKE = {"ext4": ["mkfs.ext4", "-qF"], "xfs": ["mkfs.xfs", "-q"]}


class Volume(Protocol):
    """Where a store lies during one episode."""

    store: Path

    def cut_power(self, owner: OwnerUnderTest, chance: Random) -> None:
        """Lose what is not on the disk. The owner still runs; nothing that it writes from here on counts."""

    def restore_power(self) -> None:
        """Make the directory readable again, as it is after the cut. REQUIRES: no process has a file open there."""

    def give_room(self) -> None:
        """The disk was full; make it larger."""

    def remove(self) -> None:
        """Give everything back. Idempotent."""


class PlainDirectory:
    """A directory of the machine's own file system; its owner can lose the power of a modelled disk."""

    def __init__(self, root: Path) -> None:
        """The store is ``root / "store"``."""
        self.store: Path = root / "store"
        self._after_cut = root / f"store{AFTER_CUT}"

    def cut_power(self, owner: OwnerUnderTest, chance: Random) -> None:
        """See Volume. REQUIRES: the owner uses a FragileDisk."""
        owner.tell({"do": "cut", **modelled_cut(chance)})
        owner.expect("cut")

    def restore_power(self) -> None:
        """See Volume."""
        shutil.rmtree(self.store)
        self._after_cut.rename(self.store)

    def give_room(self) -> None:
        """There is no end to it."""

    def remove(self) -> None:
        """The rig removes the whole root."""


class LoopVolume:
    """A file system of its own on a loop device. Needs root."""

    def __init__(self, root: Path, kind: str, image_bytes: int = _IMAGE_BYTES) -> None:
        """Make and mount it at ``root / "volume"``."""
        self._image = root / "image"
        self._mount = root / "volume"
        self._mounted = False
        self.store: Path = self._mount / "store"
        self._mount.mkdir(exist_ok=True)
        self._image.unlink(missing_ok=True)
        _make_file(root, self._image.name, lambda fs, fd: fs.truncate(fd, image_bytes))
        _command([*_MAKE[kind], str(self._image)])
        self.restore_power()

    def cut_power(self, owner: OwnerUnderTest, chance: Random) -> None:  # noqa: ARG002 - it may go on as it likes
        """See Volume. Before it, some of the dirty pages are on their way to the disk, as they would be."""
        self._write_some_back(chance)
        fs = PosixFileSystem(str(self._mount))
        try:
            switch = fs.open(_SWITCH, READ)
            try:
                fcntl.ioctl(switch, _SHUTDOWN, struct.pack("I", chance.choice((_FORGET_ALL, _COMMIT_FIRST))))
            finally:
                fs.close(switch)
        finally:
            fs.shut()

    def restore_power(self) -> None:
        """See Volume."""
        self._unmount()
        _command(["mount", "-o", "loop", str(self._image), str(self._mount)])
        self._mounted = True
        if not (self._mount / _SWITCH).exists():
            _make_file(self._mount, _SWITCH, lambda fs, fd: fs.fdatasync(fd))

    def give_room(self) -> None:
        """It is never full."""

    def remove(self) -> None:
        """See Volume."""
        self._unmount()
        self._image.unlink(missing_ok=True)

    def _unmount(self) -> None:
        if self._mounted:  # Not asked of the mount point: xfs answers nothing after a shutdown.
            _unmount(self._mount)
            self._mounted = False

    def _write_some_back(self, chance: Random) -> None:
        """Start the writing of random parts of random files, as the kernel does in an order of its own."""
        if chance.random() < 0.5 or not self.store.is_dir():
            return
        fs = PosixFileSystem(str(self.store))
        try:
            for name in fs.list_directory():
                if chance.random() < 0.5:
                    _start_writing(fs, name, chance)
        finally:
            fs.shut()


class SmallExt4(LoopVolume):
    """An ext4 that has little room left, until the file that takes the rest is removed."""

    def __init__(self, root: Path, room_bytes: int) -> None:
        """Leave so many bytes."""
        super().__init__(root, "ext4", _SMALL_IMAGE_BYTES)
        free = os.statvfs(self._mount)
        ballast_bytes = free.f_bavail * free.f_frsize - room_bytes
        _make_file(self._mount, _BALLAST, lambda fs, fd: fs.allocate(fd, ballast_bytes))

    def give_room(self) -> None:
        """See Volume."""
        (self._mount / _BALLAST).unlink()


class SmallTmpfs:
    """A file system in memory of a given size. Needs root."""

    def __init__(self, root: Path, room_bytes: int) -> None:
        """Mount it at ``root / "volume"``."""
        self._mount = root / "volume"
        self.store: Path = self._mount / "store"
        self._mount.mkdir(exist_ok=True)
        _command(["mount", "-t", "tmpfs", "-o", f"size={room_bytes}", "tmpfs", str(self._mount)])
        self._mounted = True

    def cut_power(self, owner: OwnerUnderTest, chance: Random) -> None:
        """Nothing would be left."""
        raise NotImplementedError

    def restore_power(self) -> None:
        """See cut_power."""
        raise NotImplementedError

    def give_room(self) -> None:
        """See Volume."""
        _command(["mount", "-o", f"remount,size={_SMALL_IMAGE_BYTES}", str(self._mount)])

    def remove(self) -> None:
        """See Volume."""
        if self._mounted:
            _unmount(self._mount)
            self._mounted = False


def modelled_cut(chance: Random) -> dict[str, Any]:
    """How the modelled disk of an owner loses its power."""
    return {"policy": chance.choice(POLICIES), "seed": chance.getrandbits(32)}


def volume_for(kind: str, room_bytes: int, root: Path) -> Volume:
    """A fresh volume of the kind that an episode asks for; ``room_bytes``: of a small one."""
    match kind:
        case "ext4" | "xfs":
            return LoopVolume(root, kind)
        case "small-ext4":
            return SmallExt4(root, room_bytes)
        case "tmpfs":
            return SmallTmpfs(root, room_bytes)
        case _:
            return PlainDirectory(root)


def missing_for(kind: str) -> str | None:
    """What the machine lacks for a volume of the kind; None if it can be made."""
    if kind not in {*_MAKE, *SMALL_VOLUMES}:
        return None
    if os.geteuid() != 0:
        return "only root may mount"
    needed = ["mount", "umount"]
    if kind != "tmpfs":
        if not os.path.exists("/dev/loop-control"):
            return "there are no loop devices"
        needed.insert(0, _MAKE["ext4" if kind == "small-ext4" else kind][0])
    missing = [program for program in needed if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else None


def _make_file(directory: Path, name: str, fill: Callable[[PosixFileSystem, int], None]) -> None:
    fs = PosixFileSystem(str(directory))
    try:
        fd = fs.open(name, CREATE_NEW)
        try:
            fill(fs, fd)
        finally:
            fs.close(fd)
    finally:
        fs.shut()


def _unmount(mount: Path) -> None:
    """The last descriptor of a process that was killed may be on its way."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            _command(["umount", str(mount)])
        except OSError:
            if time.monotonic() >= deadline:
                raise
            select.poll().poll(10)
        else:
            return


def _start_writing(fs: PosixFileSystem, name: str, chance: Random) -> None:
    try:
        fd = fs.open(name, READ)
    except OSError:
        return  # It went meanwhile, or it is the directory tmp.
    try:
        size = fs.size(fd)
        for _ in range(4):
            offset = chance.randrange(size + 1) // 4096 * 4096
            # Linux starts to write dirty pages that nobody will need, and does not wait for it.
            os.posix_fadvise(fd, offset, 4096 * chance.randint(1, 16), os.POSIX_FADV_DONTNEED)
    finally:
        fs.close(fd)


def _command(words: list[str]) -> None:
    """Run a program of the system. Raises OSError with what it said when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
