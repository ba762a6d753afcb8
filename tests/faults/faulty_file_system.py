"""File systems that fail on demand, for tests of everything above ``lsmproc.storage.file_system``.

:class:`FaultyFileSystem` is the real disk with a :class:`FaultPlan`: the plan counts operations, and at the chosen
one raises an error or "kills the process" (:class:`Killed`, after which every operation is refused, as nothing runs
after SIGKILL). :class:`QuickFileSystem` is the real disk without its syncs, for looking at many directories quickly.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

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
        kinds: operations that count, see WRITES.
        files: end of the names that count, "" for all.
        short: take only half of the bytes of each pwrite, without an error.
    """

    at: int | None = None
    count: int = 1
    error: int | None = None
    kinds: frozenset[str] = WRITES
    files: str = ""
    short: bool = False
    operations: list[str] = field(default_factory=list)  # seen so far, in order
    killed: bool = False
    descriptors: set[int] = field(default_factory=set)  # open now

    @property
    def reached(self) -> bool:
        """Whether anything has failed."""
        return self.at is not None and len(self.operations) > self.at

    def step(self, kind: str, name: str) -> OSError | None:
        """Count one operation; returns the error it must fail with. Raises Killed."""
        if self.killed:
            raise Killed
        if kind not in self.kinds or not name.endswith(self.files):
            return None
        self.operations.append(f"{kind} {name}")
        if self.at is None or not self.at <= len(self.operations) - 1 < self.at + self.count:
            return None
        if self.error is None:
            self.killed = True
            raise Killed
        return OSError(self.error, os.strerror(self.error), name)

    def open_file_system(self, path: str) -> FaultyFileSystem:
        """For ``Env(open_file_system=...)``."""
        return FaultyFileSystem(path, self)

    def give_back(self) -> None:
        """Close what a killed process would have left to the kernel."""
        for fd in list(self.descriptors):
            os.close(fd)
        self.descriptors.clear()


class FaultyFileSystem(PosixFileSystem):
    """The real disk, as far as the plan lets an operation pass."""

    def __init__(self, path: str, plan: FaultPlan) -> None:
        """Bind to the directory ``path``."""
        super().__init__(path)
        self._plan = plan
        self._directories = {self._directory}
        plan.descriptors.add(self._directory)

    def open(self, name: str, flags: int) -> int:
        """Counts as "create" or "open"."""
        self._step("create" if flags & os.O_CREAT else "open", name)
        fd = super().open(name, flags)
        self._plan.descriptors.add(fd)
        return fd

    def close(self, fd: int) -> None:
        """Never fails: also what was killed gives its descriptors back."""
        self._plan.descriptors.discard(fd)
        super().close(fd)

    def shut(self) -> None:
        """Never fails."""
        self._plan.descriptors.discard(self._directory)
        super().shut()

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:  # type: ignore[override]
        """A kill leaves half of the bytes behind, or all, by the parity of the operation."""
        half = max(1, len(data) // 2)
        try:
            error = self._plan.step("pwrite", self._name_of(fd))
        except Killed:
            if self._plan.at is not None and self._plan.at == len(self._plan.operations) - 1 and self._plan.at % 2:
                os.pwrite(fd, bytes(data)[:half], offset)
            raise
        if error is not None:
            raise error
        return os.pwrite(fd, bytes(data)[:half] if self._plan.short else data, offset)

    def fdatasync(self, fd: int) -> None:
        """Counts, and does not sync: no test here cuts the power."""
        self._step("fdatasync", self._name_of(fd))

    def allocate(self, fd: int, size: int) -> None:
        """Counts."""
        self._step("allocate", self._name_of(fd))
        super().allocate(fd, size)

    def truncate(self, fd: int, size: int) -> None:
        """Counts."""
        self._step("truncate", self._name_of(fd))
        super().truncate(fd, size)

    def rename(self, source: str, target: str) -> None:
        """Counts."""
        self._step("rename", target)
        super().rename(source, target)

    def unlink(self, name: str) -> None:
        """Counts."""
        self._step("unlink", name)
        super().unlink(name)

    def sync_directory(self, name: str = ".") -> None:
        """Counts, and does not sync."""
        self._step("sync_directory", name)

    def make_directory(self, name: str) -> None:
        """Counts."""
        self._step("mkdir", name)
        super().make_directory(name)

    def _step(self, kind: str, name: str) -> None:
        error = self._plan.step(kind, name)
        if error is not None:
            raise storage_error(error, name)


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
