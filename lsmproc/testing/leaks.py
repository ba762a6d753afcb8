"""What a test has left behind: child processes, threads of lsmproc, and descriptors of stores."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from contextlib import suppress
from typing import Self

import psutil

_GRACE_SECONDS = 2.0  # what has been told to end may take this long
_THREADS = "lsmproc"
_STORE_FILE = re.compile(r"(.*/)?(LOCK|CURRENT|MANIFEST-[0-9]+|[0-9]+\.(wal|sst))( \(deleted\))?")


class Leaks:
    """Looks at the process before a test, and says afterwards what is new and should not be there."""

    def __init__(self) -> None:
        """Remember what is there."""
        self._children = {child.pid for child in psutil.Process().children()}
        self._threads = set(threading.enumerate())
        self._descriptors = _descriptors()

    @classmethod
    def now(cls) -> Self:
        """What is there now."""
        return cls()

    def found(self) -> list[str]:
        """One line for each thing that is left, after a short time for what is ending. Kills the processes."""
        return [*self._left_descriptors(), *self._left_threads(), *self._left_children()]

    def _left_children(self) -> list[str]:
        left = [child for child in psutil.Process().children() if child.pid not in self._children]
        _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
        found = []
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                found.append(f"a child process still runs: {process.pid}, {' '.join(process.cmdline())}")
                process.kill()
                process.wait(_GRACE_SECONDS)
        return found

    def _left_threads(self) -> list[str]:
        deadline = time.monotonic() + _GRACE_SECONDS
        left = [thread for thread in threading.enumerate() if thread not in self._threads]
        left = [thread for thread in left if thread.name.startswith(_THREADS)]
        for thread in left:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [f"a thread still runs: {thread.name}" for thread in left if thread.is_alive()]

    def _left_descriptors(self) -> list[str]:
        left = _descriptors().items() - self._descriptors.items()
        if left:
            # Objects in reference cycles give theirs back when they are collected.
            gc.collect()
            left = _descriptors().items() - self._descriptors.items()
        return [f"a file of a store is still open: {target} (descriptor {fd})" for fd, target in sorted(left)]


def _descriptors() -> dict[int, str]:
    """The open files that belong to stores; empty where the system does not tell."""
    found = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if _STORE_FILE.fullmatch(target):
                    found[int(name)] = target
    return found
