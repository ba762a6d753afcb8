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
    """Resident memory of a process tree, from outside. Pages that processes share are counted in each of them."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._children: list[psutil.Process] = []
        self._refreshed = 0.0
        self.peak_bytes = 0
        self.owner_peak_bytes = 0
        self.process_count = 1

    def reset(self) -> None:
        """Forget the peaks."""
        self.peak_bytes = self.owner_peak_bytes = 0
        self.process_count = 1

    def sample(self) -> None:
        """Look once."""
        now = time.monotonic()
        if now - self._refreshed > _REFRESH_SECONDS:
            self._refreshed = now
            with suppress(psutil.NoSuchProcess):
                self._children = self._root.children(recursive=True)
        owner = _resident(self._root)
        self.owner_peak_bytes = max(self.owner_peak_bytes, owner)
        self.peak_bytes = max(self.peak_bytes, owner + sum(map(_resident, self._children)))
        self.process_count = max(self.process_count, 1 + len(self._children))


def resident_bytes() -> int:
    """Of this process alone."""
    return _resident(psutil.Process())


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
    """What this process and its living descendants sent towards the disk; None where the kernel does not count."""
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
