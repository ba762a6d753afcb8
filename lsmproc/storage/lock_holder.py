"""Who holds a directory's lock, found out without touching it: the kernel lists all locks in /proc/locks."""

from __future__ import annotations

import os

from lsmproc.formats.file_names import LOCK

_LOCKS = "/proc/locks"


def lock_is_held(directory: str) -> bool | None:
    """Whether an owner or a reader has the lock; None where the kernel does not say.

    Looks at the inode only: what /proc/locks calls the device is not what ``stat`` calls it on every file system.
    """
    kinds = _kinds_held(directory)
    return None if kinds is None else bool(kinds)


def owner_lock_is_held(directory: str) -> bool | None:
    """Whether an owner has the lock, and not only readers; None where the kernel does not say."""
    kinds = _kinds_held(directory)
    return None if kinds is None else "WRITE" in kinds


def _kinds_held(directory: str) -> set[str] | None:
    """READ, WRITE, both or none of the two; None where the kernel does not say."""
    try:
        inode = os.stat(os.path.join(directory, LOCK)).st_ino
    except OSError:
        return set()
    try:
        with open(_LOCKS, encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return {
        fields[3]
        for fields in map(str.split, lines)
        if fields[1:2] == ["FLOCK"] and fields[5:6] and fields[5].endswith(f":{inode}")
    }
