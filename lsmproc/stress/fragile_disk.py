"""A directory whose disk can lose power at any moment, on machines without loop devices: the volume ``model``.

The owner process writes down each operation of its files, and those of its jobs, which run in threads. When power is
lost, every operation stops where it is, for ever; what the disk holds then is computed from the journal and laid out
beside the directory, for the next owner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

from lsmproc.formats.file_names import TMP_DIRECTORY
from lsmproc.storage.file_system import READ, PosixFileSystem
from lsmproc.stress.disk_model import Disk, DiskModel, Operation, lay_out

AFTER_CUT = ".cut"  # ends the name of the directory that shows what is left


class FragileDisk(Disk):
    """The journal of one owner. Thread-safe."""

    def __init__(self, path: str) -> None:
        """What is in the directory ``path`` is durable; it may be missing."""
        super().__init__()
        self.journal: list[Operation] = _Journal(self._pass_on)
        self._path = path
        self._files = _contents(path)
        self._initial_names = {name: self.new_node(name) for name in self._files}
        self._lost = False
        self._opening_limit: int | None = None
        self._on_limit: Callable[[], None]

    def lose_power_after(self, operations: int, then: Callable[[], None]) -> None:
        """Call ``then``, which loses power, once so many operations were done."""
        self._opening_limit, self._on_limit = operations, then

    def lose_power(self, policy: str, seed: int) -> None:
        """Stop every operation and lay out what is left, as ``policy`` of the disk model wants it. Idempotent."""
        if self._lost:
            return
        self._lost = True
        journal = list(self.journal)
        model = DiskModel(self._initial_names, list(self._files.values()))
        for operation in journal:
            model.apply(operation)
        lay_out(Path(self._path + AFTER_CUT), model.after_cut(policy, Random(seed)))  # noqa: S311 - repeatable

    def _pass_on(self) -> None:
        """An operation is done: it returns, unless power was lost meanwhile. Nobody may count on it then."""
        if self._opening_limit is not None and len(self.journal) >= self._opening_limit:
            self._opening_limit = None
            self._on_limit()
        if self._lost:
            threading.Event().wait()  # The process is killed next.


class _Journal(list[Operation]):
    """An operation is done when it stands here; ``then`` decides whether anybody will know."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then = then

    def append(self, operation: Operation, /) -> None:
        super().append(operation)
        self._then()


def _contents(path: str) -> dict[str, bytes]:
    """Every file below a store's directory, by name."""
    if not Path(path).is_dir():
        return {}
    fs = PosixFileSystem(path)
    try:
        names = [name for name in fs.list_directory() if name != TMP_DIRECTORY]
        names += [f"{TMP_DIRECTORY}/{name}" for name in fs.list_directory(TMP_DIRECTORY)]
        return {name: _content(fs, name) for name in names}
    finally:
        fs.shut()


def _content(fs: PosixFileSystem, name: str) -> bytes:
    fd = fs.open(name, READ)
    try:
        return fs.pread(fd, fs.size(fd), 0)
    finally:
        fs.close(fd)
