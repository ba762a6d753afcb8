"""What a process and its descendants use: memory, processor time, bytes written, space."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

_REFRESH_SECONDS = 0.2
_SECTOR_BYTES = 512  # the unit of st_blocks


class MemorySampler:
    """Memory of a process tree, from outside: resident bytes at each look, the proportional share now and then.

    Pages that processes share count in the resident bytes of each of them, and once in the sum of their proportional
    shares (PSS). Those cost the kernel a walk over the page tables, milliseconds for a large process, and only Linux
    has them.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._children: list[psutil.Process] = []
        self._refreshed = 0.0
        self.peak_bytes = 0
        self.owner_peak_bytes = 0
        self.proportional_peak_bytes: int | None = 0  # None: the system does not tell
        self.process_count = 1

    def sample(self, *, thorough: bool = False) -> None:
        """Look once; ``thorough`` looks at everything, whenever it was last looked at."""
        now = time.monotonic()
        if thorough or now - self._refreshed > _REFRESH_SECONDS:
            self._refreshed = now
            with suppress(psutil.NoSuchProcess):
                self._children = self._root.children(recursive=True)
            self._sample_shares()
        owner = _resident(self._root)
        self.owner_peak_bytes = max(self.owner_peak_bytes, owner)
        self.peak_bytes = max(self.peak_bytes, owner + sum(map(_resident, self._children)))
        self.process_count = max(self.process_count, 1 + len(self._children))

    def _sample_shares(self) -> None:
        shares = [proportional_bytes(process) for process in (self._root, *self._children)]
        known = [share for share in shares if share is not None]
        if self.proportional_peak_bytes is not None:
            peak = max(self.proportional_peak_bytes, sum(known))
            self.proportional_peak_bytes = peak if len(known) == len(shares) else None


def proportional_bytes(process: psutil.Process) -> int | None:
    """Its share of memory, pages of several processes divided among them; None where nobody tells, 0 if it ended."""
    try:
        share: int | None = getattr(process.memory_full_info(), "pss", None)
        return share
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    except psutil.AccessDenied:
        return None


def tree_bytes() -> int:
    """Memory of this process and its descendants now: proportional where it is told, resident elsewhere."""
    processes = (psutil.Process(), *psutil.Process().children(recursive=True))
    shares = [proportional_bytes(process) for process in processes]
    return sum(_resident(process) if share is None else share for process, share in zip(processes, shares, strict=True))


def cpu_seconds() -> float:
    """Of this process, its living descendants, and its children that have ended and were waited for."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            used = child.cpu_times()
            total += used.user + used.system
    return total


def written_bytes() -> int | None:
    """What this process and its descendants sent towards the disk; None where the kernel does not count.

    Linux adds the counts of a process that ended to those of the parent that waited for it, so nothing is lost.
    """
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += process.io_counters().write_bytes
        except psutil.NoSuchProcess:
            continue
        except (AttributeError, psutil.Error):
            return None
    return total


def space_bytes(directory: str) -> int:
    """Blocks that the files below a directory occupy."""
    total = 0
    for path in Path(directory).rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * _SECTOR_BYTES
    return total


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        size: int = process.memory_info().rss
        return size
    return 0
