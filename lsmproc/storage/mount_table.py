"""Which file system a path lies on: the line of /proc/self/mountinfo that covers it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_TABLE = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    point: str
    kind: str  # "ext4", "nfs4", "fuse.sshfs"
    options: tuple[str, ...]  # of the mount and of the file system


def mount_of(path: str) -> Mount | None:
    """The mount that ``path`` lies on; None where the system has no such table."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    real = os.path.realpath(path)
    covering = [mount for mount in map(parse_mount, lines) if mount is not None and _covers(mount.point, real)]
    longest = max((len(mount.point) for mount in covering), default=0)
    # A later mount on the same point hides an earlier one.
    return next((mount for mount in reversed(covering) if len(mount.point) == longest), None)


def parse_mount(line: str) -> Mount | None:
    """One line of the table; None if it has another form."""
    before, dash, after = line.partition(" - ")
    fields, system = before.split(), after.split()
    if not dash or len(fields) < 6 or len(system) < 2:
        return None
    options = [*fields[5].split(","), *(system[2].split(",") if len(system) > 2 else [])]
    point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
    return Mount(point, system[0], tuple(dict.fromkeys(options)))


def _covers(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
