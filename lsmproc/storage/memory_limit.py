"""The memory that the control group of this process may take."""

from __future__ import annotations

import os

_GROUPS = "/proc/self/cgroup"
_ROOT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # version 1 writes a huge number where there is none


def memory_limit() -> int | None:
    """The lowest limit of the group and those above it, in bytes; None without one, or without control groups."""
    text = _text(_GROUPS)
    limits: list[int] = []
    for line in text.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            limits += _limits(_ROOT, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(f"{_ROOT}/memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits(root: str, path: str, name: str) -> list[int]:
    """The limits of a group and of all above it."""
    found: list[int] = []
    while True:
        text = _text(os.path.join(root + path, name)).strip()
        if text.isdigit() and int(text) < _NO_LIMIT:
            found.append(int(text))
        if path in {"", "/"}:
            return found
        path = os.path.dirname(path)


def _text(path: str) -> str:
    """What the file holds; empty if it is not there, as in a container."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
