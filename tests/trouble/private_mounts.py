"""File systems of a test's own, in a mount namespace of its own: small ones that fill up, and ones that break.

A scenario runs in a process behind :data:`NAMESPACE`. What it mounts there nobody else sees, and it is gone, loop
devices included, with the last process of the namespace, however that ended: there is nothing to clean up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NAMESPACE = ("unshare", "--mount", "--propagation", "private")
_SECONDS = 30.0  # for mount and its like


def why_not(*programs: str) -> str:
    """Why a scenario cannot have mounts of its own here; empty if it can. ``programs``: what it needs besides."""
    if os.geteuid() != 0:
        return "this needs root"
    for program in ("unshare", "mount", *programs):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    tried = _tried(*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt")
    return "" if tried.returncode == 0 else f"mounts are not allowed here: {tried.stderr.strip()}"


def why_no_loop() -> str:
    """Why a scenario cannot have a disk image of its own here; empty if it can."""
    reason = why_not("mkfs.ext4", "losetup")
    if reason:
        return reason
    tried = _tried("losetup", "--find")
    return "" if tried.returncode == 0 else f"there is no loop device: {tried.stderr.strip()}"


class Tmpfs:
    """A file system in memory, of a size that can be changed while it is in use."""

    def __init__(self, path: Path, size: int) -> None:
        """Mount one of ``size`` bytes at ``path``. REQUIRES: a namespace of our own."""
        path.mkdir(exist_ok=True)
        self.path = path
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path))

    def resize(self, size: int) -> None:
        """Change the size to ``size`` bytes."""
        _run("mount", "-o", f"remount,size={size}", str(self.path))

    def unmount(self) -> None:
        """Take it away, though files may still be open."""
        _run("umount", "--lazy", str(self.path))


class Ext4Image:
    """An ext4 file system in a file, on a loop device that goes away with the mount."""

    def __init__(self, path: Path, image: Path, size: int) -> None:
        """Make and mount one of ``size`` bytes at ``path``. REQUIRES: a namespace of our own."""
        path.mkdir(exist_ok=True)
        self.path = path
        self.image = image
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(path))

    def make_read_only(self) -> None:
        """What the kernel does with ``errors=remount-ro`` when the disk turns out bad: EROFS for every open file."""
        _run("mount", "-o", "remount,abort", str(self.path))

    def mount_again(self) -> None:
        """Unmount, which no open file may prevent, and mount: for ext4 itself, as after a restart of the machine."""
        self.unmount()
        _run("mount", "-o", "loop", str(self.image), str(self.path))

    def unmount(self) -> None:
        """Take it away. REQUIRES: no file is open."""
        _run("umount", str(self.path))


class Ballast:
    """A file that takes space away from others, and gives it back when it is told to."""

    def __init__(self, path: Path) -> None:
        """Take nothing yet."""
        self.path = path

    def take(self, size: int) -> None:
        """Take ``size`` bytes."""
        with self.path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def take_all(self) -> None:
        """Take every byte that is left."""
        with self.path.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    def release(self) -> None:
        """Give everything back. Idempotent."""
        self.path.unlink(missing_ok=True)


def _run(*command: str) -> None:
    done = _tried(*command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


def _tried(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
