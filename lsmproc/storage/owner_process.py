"""Which process owns a store, so that another one can tell whether it still lives.

A process number is given to another process one day; number, start time and the boot it belongs to are not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for as long as this machine's memory of it lasts."""

    pid: int
    started: int  # in the system's own unit, clock ticks since boot where there is /proc; only compared
    boot_id: str


def this_process() -> ProcessIdentity:
    """The calling process."""
    pid = os.getpid()
    return ProcessIdentity(pid, _start_of(pid) or 0, _boot_id())


def is_running(identity: ProcessIdentity) -> bool:
    """Whether that process runs on this machine, as far as this process can see: not into other containers."""
    return identity.boot_id == _boot_id() and _start_of(identity.pid) == identity.started


def _start_of(pid: int) -> int | None:
    """When a process started; None if there is none, or only what is left of one that nobody has reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything, also spaces and parentheses.
            fields = file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        return None if os.path.isdir("/proc/self") else _start_elsewhere(pid)
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _start_elsewhere(pid: int) -> int | None:
    """As ``_start_of``, for systems without /proc."""
    import psutil  # noqa: PLC0415 - 30 ms, and not needed on Linux

    try:
        return int(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return None


def _boot_id() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
