"""File systems that fail on demand, for tests of everything above ``lsmproc.storage.file_system``.

:class:`FaultyFileSystem` is the real disk with a :class:`FaultPlan`: the plan counts operations, and at the chosen
one raises an error or "kills the process" (:class:`Killed`, after which every operation is refused, as nothing runs
after SIGKILL). :class:`QuickFileSystem` is the real disk without its syncs, for looking at many directories quickly.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from lsmproc.storage.file_system import PosixFileSystem, storage_error

WRITES = frozenset(
    {
        "create",
        "pwrite",
        "write_all",
        "fdatasync",
        "allocate",
        "truncate",
        "rename",
        "unlink",
        "sync_directory",
        "mkdir",
    }
)
READS = frozenset({"open", "pread", "list"})
SYNCS = frozenset({"fdatasync", "sync_directory"})


class Killed(BaseException):
    """The process ends here, as with SIGKILL: nothing after it reaches the disk."""


@dataclass
class FaultPlan:
    """What fails, and when. One plan serves all file systems of a store.

    Attributes:
        at: index of the first failing operation among those in ``kinds``; None fails nothing.
        count: how many operations fail from there on.
        error: errno to fail with; None kills.
        kinds: operations that count, see WRITES and READS.
        files: end of the names that count, "" for all.
        short: take only half of the bytes of each pwrite, without an error.
        begins_short: the operation ``at``, if it is a pwrite, takes half of its bytes without an error, and failing
            begins with the operation behind it.
        moment: a kill comes "before" the operation, "after" it, or "half" way: then it leaves half of a pwrite behind,
            and nothing of any other operation.
        dies_with: nothing is possible any more once this plan has killed.
    """

    at: int | None = None
    count: int = 1
    error: int | None = None
    kinds: frozenset[str] = WRITES
    files: str = ""
    short: bool = False
    begins_short: bool = False
    moment: Literal["before", "half", "after"] = "half"
    dies_with: FaultPlan | None = None
    operations: list[str] = field(default_factory=list)  # seen so far, in order
    killed: bool = False
    systems: list[FaultyFileSystem] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether anything has failed."""
        return self.at is not None and len(self.operations) > self.at

    @property
    def descriptors(self) -> set[int]:
        """Open now."""
        return {fd for system in self.systems for fd in system.opened}

    def step(self, kind: str, name: str) -> OSError | Killed | Short | None:
        """Count one operation; returns what must become of it. Raises Killed once the process is dead."""
        if self.killed or (self.dies_with is not None and self.dies_with.killed):
            raise Killed
        if kind not in self.kinds or not name.endswith(self.files):
            return None
        self.operations.append(f"{kind} {name}")
        if self.at is None:
            return None
        behind = len(self.operations) - 1 - self.at
        if self.begins_short and behind == 0:
            return Short() if kind == "pwrite" else None
        if not 0 <= behind - self.begins_short < self.count:
            return None
        if self.error is None:
            return Killed()
        return OSError(self.error, os.strerror(self.error), name)

    def open_file_system(self, path: str) -> FaultyFileSystem:
        """For ``Env(open_file_system=...)``."""
        return FaultyFileSystem(path, self)

    def beside(self) -> FaultPlan:
        """A plan for the rest of the same process: it fails nothing, dies with this one, and is given back with it."""
        return FaultPlan(dies_with=self, systems=self.systems)

    def give_back(self) -> None:
        """Close what a killed process would have left to the kernel."""
        for system in self.systems:
            system.give_back()
        self.systems.clear()


class Short:
    """An operation takes half of what it is given."""


class FaultyFileSystem(PosixFileSystem):
    """The real disk, as far as the plan lets an operation pass.

    Attributes:
        opened: descriptors that are open, the directory's among them.
    """

    def __init__(self, path: str, plan: FaultPlan) -> None:
        """Bind to the directory ``path``."""
        super().__init__(path)
        self._plan = plan
        self.opened = {self._directory}
        plan.systems.append(self)

    def open(self, name: str, flags: int) -> int:
        """Counts as "create" or "open"."""
        with self._step("create" if flags & os.O_CREAT else "open", name):
            fd = super().open(name, flags)
            self.opened.add(fd)
        return fd

    def close(self, fd: int) -> None:
        """Never fails: also what was killed gives its descriptors back, once."""
        if fd in self.opened:
            self.opened.discard(fd)
            super().close(fd)

    def shut(self) -> None:
        """Never fails."""
        self.opened.discard(self._directory)
        super().shut()

    def give_back(self) -> None:
        """Close everything, as the kernel does when a process has died."""
        for fd in self.opened - {self._directory}:
            os.close(fd)
        self.opened.clear()
        super().shut()

    def pread(self, fd: int, size: int, offset: int, /) -> bytes:  # type: ignore[override]
        """Counts."""
        with self._step("pread", self._name_of(fd), plainly=True):
            return os.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:  # type: ignore[override]
        """Counts; may take half of the bytes."""
        half = bytes(data)[: max(1, len(data) // 2)]
        with self._step("pwrite", self._name_of(fd), half=lambda: os.pwrite(fd, half, offset), plainly=True) as short:
            return os.pwrite(fd, half if short or self._plan.short else data, offset)

    def fdatasync(self, fd: int) -> None:
        """Counts, and does not sync: no test here cuts the power."""
        with self._step("fdatasync", self._name_of(fd)):
            pass

    def allocate(self, fd: int, size: int) -> None:
        """Counts."""
        with self._step("allocate", self._name_of(fd)):
            super().allocate(fd, size)

    def truncate(self, fd: int, size: int) -> None:
        """Counts."""
        with self._step("truncate", self._name_of(fd)):
            super().truncate(fd, size)

    def rename(self, source: str, target: str) -> None:
        """Counts."""
        with self._step("rename", target):
            super().rename(source, target)

    def unlink(self, name: str) -> None:
        """Counts."""
        with self._step("unlink", name):
            super().unlink(name)

    def sync_directory(self, name: str = ".") -> None:
        """Counts, and does not sync."""
        with self._step("sync_directory", name):
            pass

    def make_directory(self, name: str) -> None:
        """Counts."""
        with self._step("mkdir", name):
            super().make_directory(name)

    def list_directory(self, name: str = ".") -> list[str]:
        """Counts."""
        with self._step("list", name):
            return super().list_directory(name)

    @contextmanager
    def _step(
        self, kind: str, name: str, *, half: Callable[[], object] | None = None, plainly: bool = False
    ) -> Iterator[bool]:
        """Around one operation: fail it, or die before or after it. Gives whether it must be cut short.

        ``half`` does half of the operation; ``plainly``: fail as the system call does.
        """
        fault = self._plan.step(kind, name)
        try:
            if isinstance(fault, OSError):
                raise fault if plainly else storage_error(fault, name)
            if isinstance(fault, Killed):
                self._plan.killed = True
                if half is not None and self._plan.moment == "half":
                    half()
                if self._plan.moment != "after":
                    raise fault
            yield isinstance(fault, Short)
            if isinstance(fault, Killed):
                raise fault
        finally:
            del fault  # An error must not refer to itself through this frame: it holds open files.


class QuickFileSystem(PosixFileSystem):
    """The real disk, whose syncs do nothing."""

    def fdatasync(self, fd: int) -> None:
        """Nothing."""

    def sync_directory(self, name: str = ".") -> None:
        """Nothing."""


def full_disk(plan: FaultPlan, *, full: bool) -> None:
    """From now on every write fails with ENOSPC, or none does."""
    plan.at, plan.count, plan.error = (0, 1 << 60, errno.ENOSPC) if full else (None, 1, None)
    plan.kinds = frozenset({"create", "pwrite", "allocate", "mkdir"})
    plan.operations.clear()


OpenFileSystem = Callable[[str], PosixFileSystem]
