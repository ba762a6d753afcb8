"""Who holds a directory's lock, found out without touching it: the kernel lists all locks in /proc/locks."""

from __future__ import annotations

import os
from contextlib import suppress

from lsmproc.formats.file_names import LOCK

_LOCKS = "/proc/locks"
_COMMAND_BYTES = 200


def lock_is_held(directory: str) -> bool | None:
    """Whether an owner or a reader has the lock; None where the kernel does not say."""
    locks = _locks_of(directory)
    return None if locks is None else bool(locks)


def owner_lock_is_held(directory: str) -> bool | None:
    """Whether an owner has the lock, and not only readers; None where the kernel does not say."""
    locks = _locks_of(directory)
    return None if locks is None else any(kind == "WRITE" for kind, _ in locks)


def present_holder(directory: str) -> str:
    """In words, who has the lock now: for when the text in the LOCK file is of an owner that is gone; "" if unknown."""
    for kind, text in _locks_of(directory) or ():
        pid = int(text)
        if pid < 1:
            continue  # A process that cannot be seen from here.
        if not is_running(pid):
            return f"a process that was forked by pid {pid}, which is gone itself, and still has its lock"
        command = b""
        with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read(_COMMAND_BYTES)
        words = command.replace(b"\0", b" ").decode(errors="replace").strip()
        return f"pid {pid} ({words or 'of another user'}){', which reads it' if kind == 'READ' else ''}"
    return ""


def is_running(pid: int) -> bool:
    """Whether there is a process of this number here; nothing is sent to it."""
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _locks_of(directory: str) -> list[tuple[str, str]] | None:
    """Kind (READ or WRITE) and process of each lock on the LOCK file; None where the kernel does not say.

    Looks at the inode only: what /proc/locks calls the device is not what ``stat`` calls it on every file system.
    """
    try:
        inode = os.stat(os.path.join(directory, LOCK)).st_ino
    except OSError:
        return []
    try:
        with open(_LOCKS, encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return [
        (fields[3], fields[4])
        for fields in map(str.split, lines)
        if fields[1:2] == ["FLOCK"] and fields[5:6] and fields[5].endswith(f":{inode}")
    ]
