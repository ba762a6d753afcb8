"""A disk that can lose its power after any operation, in every way that the rules of a disk allow.

:class:`Disk` writes down each operation of the file systems it hands out. :class:`DiskModel` plays that journal again,
one operation at a time, and knows what a power cut may leave at each point: what was synced is there; what was not
synced may be there, or not, or in part, in any order. Files are nodes; names are entries of a directory, and an entry
survives for sure only once its directory was synced, whatever happened to the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import MappingProxyType

from lsmproc.formats.log_format import HEADER_SIZE
from lsmproc.storage.file_system import CREATE_NEW, PosixFileSystem

SECTOR_BYTES = 512

Operation = tuple[object, ...]


class Disk:
    """The journal of everything that was done in one directory."""

    def __init__(self, names: Mapping[str, int] = MappingProxyType({})) -> None:
        """Nothing was done yet; ``names``: files that are there, with their nodes."""
        self.journal: list[Operation] = []
        self.lock: threading.Lock = threading.Lock()
        self.names: dict[str, int] = dict(names)
        self.nodes: dict[int, int] = {}  # descriptor to node
        self._next_node = max(names.values(), default=0)

    def open_file_system(self, path: str) -> JournaledFileSystem:
        """For ``Env(open_file_system=...)``."""
        return JournaledFileSystem(path, self)

    def note(self, what: str, number: int) -> None:
        """Write down what the host program knows: "begun", "acked" or "synced" up to write ``number``."""
        self.journal.append((what, number))

    def new_node(self, name: str) -> int:
        """A file is made."""
        self._next_node += 1
        self.names[name] = self._next_node
        return self._next_node


class JournaledFileSystem(PosixFileSystem):
    """The real directory, with a journal and without real syncs."""

    def __init__(self, path: str, disk: Disk) -> None:
        """Bind to ``path``; what is in it counts as synced."""
        super().__init__(path)
        self._disk = disk

    def open(self, name: str, flags: int) -> int:
        """A new file is an unsynced entry of its directory."""
        with self._disk.lock:
            fd = super().open(name, flags)
            if flags & os.O_CREAT:
                node = self._disk.new_node(name)
                self._disk.journal.append(("create", name, node))
            else:
                node = self._disk.names.get(name, 0)
            self._disk.nodes[fd] = node
            return fd

    def close(self, fd: int) -> None:
        """Not an operation on the disk."""
        with self._disk.lock:
            self._disk.nodes.pop(fd, None)
            super().close(fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        """One unsynced write."""
        written = os.pwrite(fd, data, offset)
        self._disk.journal.append(("write", self._disk.nodes[fd], offset, bytes(data)[:written]))
        return written

    def fdatasync(self, fd: int) -> None:
        """The bytes and the size of the node are safe."""
        self._disk.journal.append(("sync", self._disk.nodes[fd]))

    def allocate(self, fd: int, size: int) -> None:
        """The size grows."""
        super().allocate(fd, size)
        self._disk.journal.append(("grow", self._disk.nodes[fd], size))

    def truncate(self, fd: int, size: int) -> None:
        """The size is set."""
        super().truncate(fd, size)
        self._disk.journal.append(("truncate", self._disk.nodes[fd], size))

    def rename(self, source: str, target: str) -> None:
        """An entry moves, at once or not at all."""
        with self._disk.lock:
            super().rename(source, target)
            self._disk.names[target] = self._disk.names.pop(source)
            self._disk.journal.append(("rename", source, target))

    def unlink(self, name: str) -> None:
        """An entry goes."""
        with self._disk.lock:
            super().unlink(name)
            self._disk.names.pop(name, None)
            self._disk.journal.append(("unlink", name))

    def sync_directory(self, name: str = ".") -> None:
        """The entries of the directory are safe."""
        self._disk.journal.append(("sync_directory", "" if name == "." else f"{name}/"))


@dataclass
class _Node:
    """One file: what is on the disk for sure, and what was done since."""

    durable: bytes = b""
    pending: list[Operation] = field(default_factory=list)  # ("write", offset, data), ("size", bytes, shrink)

    def content(self, pending: list[Operation]) -> bytes:
        """The file when just these operations have reached the disk."""
        content = bytearray(self.durable)
        for operation in pending:
            match operation:
                case ("write", int(offset), bytes(data)):
                    if offset > len(content):
                        content.extend(bytes(offset - len(content)))
                    content[offset : offset + len(data)] = data
                case ("size", int(size), shrink):
                    if size > len(content):
                        content.extend(bytes(size - len(content)))
                    elif shrink:
                        del content[size:]
        return bytes(content)


POLICIES = (
    "keep", "drop", "drop data", "drop names", "zeros", "garbage", "cut 1", "cut 512", "cut half",
    "sectors 10", "sectors 50", "sectors 90", "prefix of names", "all mixed", "cut 4096", "some 10", "some 50",
)  # fmt: skip


class DiskModel:
    """The journal played again, and what a power cut may leave of it."""

    def __init__(self, names: Mapping[str, int] = MappingProxyType({}), files: Sequence[bytes] = ()) -> None:
        """A directory whose files are durable: ``names`` with their nodes, ``files`` by node, which count from 1."""
        self.nodes: dict[int, _Node] = {node: _Node(content) for node, content in enumerate(files, 1)}
        self.durable_names: dict[str, int] = dict(names)
        self.names: dict[str, int] = dict(names)
        self.pending_names: list[Operation] = []
        self.facts: dict[str, int] = {"begun": 0, "acked": 0, "synced": 0}

    def apply(self, operation: Operation) -> None:
        """One step on."""
        match operation:
            case ("begun" | "acked" | "synced" as what, int(number)):
                self.facts[what] = number
            case ("create", str(name), int(node)):
                self.nodes[node] = _Node()
                self._name(("link", name, node))
            case ("write", int(node), int(offset), bytes(data)):
                self.nodes.setdefault(node, _Node()).pending.append(("write", offset, data))
            case ("grow", int(node), int(size)):
                self.nodes[node].pending.append(("size", size, False))
            case ("truncate", int(node), int(size)):
                self.nodes.setdefault(node, _Node()).pending.append(("size", size, True))
            case ("sync", int(node)):
                synced = self.nodes[node]
                synced.durable, synced.pending = synced.content(synced.pending), []
            case ("rename", str(source), str(target)):
                self._name(("move", source, target, self.names[source]))
            case ("unlink", str(name)):
                self._name(("drop", name))
            case ("sync_directory", str(prefix)):
                self._sync_names(prefix)
            case _:
                raise ValueError(operation)

    def after_cut(self, policy: str, rng: Random) -> dict[str, bytes]:
        """Names and contents that a power cut leaves now."""
        names = dict(self.durable_names)
        for operation in self._surviving_names(policy, rng):
            _change_names(names, operation)
        newest = self._newest_write()
        return {
            name: self.nodes[node].content(list(_surviving(self.nodes[node], policy, rng, newest)))
            for name, node in names.items()
        }

    def single_cuts(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """For each unsynced operation, of data or names: what is left if only it is lost, and if only it survives."""
        data = [(node, index) for node, file in self.nodes.items() for index in range(len(file.pending))]
        names = [(0, index) for index in range(len(self.pending_names))]
        for one in data + names:
            yield f"without {one}", self._files(lambda each, one=one: each != one)  # type: ignore[misc]
            yield f"only {one}", self._files(lambda each, one=one: each == one)  # type: ignore[misc]

    def copy(self) -> DiskModel:
        """A model that goes on from here on its own."""
        other = DiskModel(self.names)
        other.nodes = {node: _Node(file.durable, [*file.pending]) for node, file in self.nodes.items()}
        other.durable_names = dict(self.durable_names)
        other.pending_names = [*self.pending_names]
        other.facts = dict(self.facts)
        return other

    def _files(self, survives: Callable[[tuple[int, int]], bool]) -> dict[str, bytes]:
        """What is left if just those operations survive; (node, index), and node 0 for names."""
        names = dict(self.durable_names)
        for index, operation in enumerate(self.pending_names):
            if survives((0, index)):
                _change_names(names, operation)
        return {
            name: file.content([each for index, each in enumerate(file.pending) if survives((node, index))])
            for name, node in names.items()
            if (file := self.nodes[node])
        }

    def _name(self, operation: Operation) -> None:
        _change_names(self.names, operation)
        self.pending_names.append(operation)

    def _sync_names(self, prefix: str) -> None:
        rest = []
        for operation in self.pending_names:
            touched = operation[1:3] if operation[0] == "move" else operation[1:2]
            if any(os.path.dirname(str(name)) == prefix.rstrip("/") for name in touched):
                _change_names(self.durable_names, operation)
            else:
                rest.append(operation)
        self.pending_names = rest

    def _surviving_names(self, policy: str, rng: Random) -> list[Operation]:
        pending = self.pending_names
        if policy in {"drop", "drop names"}:
            return []
        if policy == "prefix of names":
            return pending[: rng.randint(0, len(pending))]
        if policy.startswith("some"):
            return [operation for operation in pending if rng.random() < int(policy.split()[1]) / 100]
        if policy == "all mixed" or (policy.startswith("sectors") and rng.random() < 0.3):
            return [operation for operation in pending if rng.random() < 0.5]
        return pending

    def _newest_write(self) -> Operation | None:
        logs = [node for name, node in self.names.items() if name.endswith(".wal")]
        pending = [self.nodes[node].pending for node in sorted(logs) if self.nodes[node].pending]
        return pending[-1][-1] if pending else None


def _surviving(file: _Node, policy: str, rng: Random, newest: Operation | None) -> Iterator[Operation]:
    """What of the unsynced operations on one file has reached the disk."""
    for operation in file.pending:
        if policy.startswith("some"):
            if rng.random() < int(policy.split()[1]) / 100:
                yield operation
            continue
        if operation[0] == "size":
            if policy not in {"drop", "drop data"}:
                yield operation
            continue
        _, offset, data = operation
        assert isinstance(data, bytes) and isinstance(offset, int)  # noqa: PT018
        if policy in {"zeros", "garbage"} and file.durable[offset : offset + len(data)].strip(b"\0"):
            # Written over what is durable: a sector has the old bytes or the new ones.
            yield from _surviving_sectors(offset, data, 0.5, rng)
        elif policy in {"keep", "drop names", "prefix of names"}:
            yield operation
        elif policy == "zeros":
            yield ("size", offset + len(data), False)
        elif policy == "garbage":
            yield operation if offset < HEADER_SIZE or rng.random() < 0.5 else ("write", offset, b"\xa5" * len(data))
        elif policy.startswith("cut"):
            if operation is newest:
                data = data[: {"cut 1": 1, "cut 512": 512, "cut 4096": 4096}.get(policy, len(data) // 2)]
            yield ("write", offset, data)
        elif policy.startswith("sectors") or policy == "all mixed":
            share = 0.5 if policy == "all mixed" else int(policy.split()[1]) / 100
            yield from _surviving_sectors(offset, data, share, rng)


def _surviving_sectors(offset: int, data: bytes, share: float, rng: Random) -> Iterator[Operation]:
    """The parts of one write, sector by sector: each is on the disk or not."""
    position = 0
    while position < len(data):
        size = SECTOR_BYTES - (offset + position) % SECTOR_BYTES
        if rng.random() < share:
            yield ("write", offset + position, data[position : position + size])
        position += size


def _change_names(names: dict[str, int], operation: Operation) -> None:
    match operation:
        case ("link", str(name), int(node)):
            names[name] = node
        case ("move", str(source), str(target), int(node)):
            if names.get(source) == node:
                del names[source]
            names[target] = node
        case ("drop", str(name)):
            names.pop(name, None)


def lay_out(directory: Path, files: dict[str, bytes]) -> None:
    """Make ``directory`` hold just these files."""
    directory.mkdir()
    fs = PosixFileSystem(str(directory))
    try:
        for name, content in files.items():
            if "/" in name:
                fs.make_directory(os.path.dirname(name))
            fd = fs.open(name, CREATE_NEW)
            try:
                fs.write_all(fd, content, 0)
            finally:
                fs.close(fd)
    finally:
        fs.shut()
