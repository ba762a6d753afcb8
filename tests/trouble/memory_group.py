"""A control group with little memory: what a container gives a worker that grew too large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION_1 = Path("/sys/fs/cgroup/memory")


def why_no_memory_group() -> str:
    """Why there can be none here; empty if there can. Version 2 would need a prepared tree of groups."""
    if os.geteuid() != 0:
        return "this needs root"
    if not (_VERSION_1 / "memory.limit_in_bytes").exists():
        return "there is no memory controller of control groups, version 1"
    return ""


class MemoryGroup:
    """One group; the kernel kills a member when all members need more than the limit."""

    def __init__(self, limit: int) -> None:
        """Make it. REQUIRES: ``why_no_memory_group`` found nothing."""
        self.path = _VERSION_1 / f"lsmproc-test-{os.getpid()}"
        self.path.mkdir()
        (self.path / "memory.limit_in_bytes").write_text(str(limit))
        swap_limit = self.path / "memory.memsw.limit_in_bytes"
        if swap_limit.exists():
            swap_limit.write_text(str(limit))

    def take(self, pid: int) -> None:
        """Make a process a member; what it has already does not count, what it needs from now on does."""
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def kills(self) -> int:
        """How many members the kernel has killed."""
        lines = (self.path / "memory.oom_control").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def remove(self) -> None:
        """Take the group away; what lives in it goes back to the group above."""
        for pid in (self.path / "cgroup.procs").read_text().split():
            (self.path.parent / "cgroup.procs").write_text(pid)
        self.path.rmdir()


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """A group for the time of a block."""
    group = MemoryGroup(limit)
    try:
        yield group
    finally:
        group.remove()
