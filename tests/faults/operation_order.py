"""Judges the order of operations on a store's disk: what must be durable before what may follow it.

1. a file is renamed only when all its bytes are synced;
2. a rename is durable before anything relies on it: before an edit goes into a manifest, before CURRENT is switched,
   and before a file that held data is removed;
3. CURRENT is switched only to a manifest whose bytes and name are durable;
4. a file that held data is removed only while the live manifest holds no unsynced edit;
5. a log segment promises that it is durable only when its name is.

The operations come from the journal of a model disk, or from strace, which sees workers as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lsmproc.formats.file_names import CURRENT, FileKind, parse_file_name
from lsmproc.stress.disk_model import Operation

Kind = Literal["create", "write", "sync", "rename", "unlink"]

_MANIFEST = re.compile(r"MANIFEST-\d+")
_PROMISE = "SYNCED"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, when it began; a sync, when it ended."""

    kind: Kind
    name: str  # "." and "tmp" are the directories
    target: str = ""  # of a rename
    text: str = ""  # of a write: the beginning of its bytes
    since: int | None = None  # of a sync: how many steps there were when it began; None for all before it
    process: int = 0


@dataclass(slots=True)
class _File:
    written: int = -1  # the step that wrote last, -1 when all is synced
    edited: int = -1  # the same, promises left out
    used: bool = False


@dataclass
class OrderJudge:
    """Takes one step after the other; ``complaints`` tells what was too early."""

    complaints: list[str] = field(default_factory=list)
    steps: int = 0
    _files: dict[str, _File] = field(default_factory=dict)
    _new: dict[str, int] = field(default_factory=dict)  # names that are not durable, with the step that made them
    _renamed: dict[str, int] = field(default_factory=dict)  # those of them that a rename made
    _stands_for: dict[str, str] = field(default_factory=dict)  # what a future CURRENT names
    _live_manifest: str = ""

    def take(self, step: Step) -> None:
        """One step on."""
        match step.kind:
            case "create":
                self._files[step.name] = _File()
                self._new[step.name] = self.steps
            case "write":
                self._write(step)
            case "sync":
                self._sync(step, self.steps if step.since is None else step.since)
            case "rename":
                self._rename(step)
            case "unlink":
                self._unlink(step.name)
        self.steps += 1

    def _write(self, step: Step) -> None:
        file = self._files.setdefault(step.name, _File())
        kind = _kind(step.name)
        promise = _PROMISE in step.text
        if kind is FileKind.MANIFEST and not promise:
            self._require_durable_renames(f"an edit went into {step.name}")
        if kind is FileKind.WAL and promise and step.name in self._new:
            self.complaints.append(f"{step.name} promised to be durable before its name was")
        file.written, file.used = self.steps, True
        if not promise:
            file.edited = self.steps
        if found := _MANIFEST.search(step.text):
            self._stands_for[step.name] = found[0]

    def _sync(self, step: Step, since: int) -> None:
        if step.name in {".", "tmp"}:
            for names in (self._new, self._renamed):
                for name in [name for name, made in names.items() if _directory(name) == step.name and made < since]:
                    del names[name]
        elif (file := self._files.get(step.name)) is not None:
            file.written = -1 if file.written < since else file.written
            file.edited = -1 if file.edited < since else file.edited

    def _rename(self, step: Step) -> None:
        file = self._files.pop(step.name, _File())
        if file.written >= 0:
            self.complaints.append(f"{step.name} was renamed to {step.target} before its bytes were synced")
        if step.target == CURRENT:
            self._switch(self._stands_for.get(step.name, ""))
        self._files[step.target] = file
        self._new.pop(step.name, None)
        self._new[step.target] = self._renamed[step.target] = self.steps

    def _switch(self, manifest: str) -> None:
        file = self._files.get(manifest)
        if file is None or file.edited >= 0:
            self.complaints.append(f"CURRENT was switched to {manifest or 'nothing'} before that was synced")
        if manifest in self._new:
            self.complaints.append(f"CURRENT was switched to {manifest} before that name was durable")
        self._require_durable_renames("CURRENT was switched")
        self._live_manifest = manifest

    def _unlink(self, name: str) -> None:
        file = self._files.pop(name, _File())
        self._new.pop(name, None)
        self._renamed.pop(name, None)
        if not file.used or _kind(name) is None:
            return
        self._require_durable_renames(f"{name} was removed")
        live = self._files.get(self._live_manifest)
        if live is not None and live.edited >= 0:
            self.complaints.append(f"{name} was removed before the edit in {self._live_manifest} was synced")

    def _require_durable_renames(self, what: str) -> None:
        self.complaints += [f"{what} before the rename to {name} was durable" for name in self._renamed]


def judged(steps: Iterable[Step]) -> OrderJudge:
    """The judge when all was taken."""
    judge = OrderJudge()
    for step in steps:
        judge.take(step)
    return judge


def steps_of_journal(journal: Iterable[Operation]) -> Iterator[Step]:
    """The steps in the journal of a model disk."""
    names: dict[object, str] = {}
    for operation in journal:
        match operation:
            case ("create", str(name), node):
                names[node] = name
                yield Step("create", name)
            case ("write", node, _, bytes(data)):
                yield Step("write", names[node], text=data[:200].decode("latin-1"))
            case ("sync", node):
                yield Step("sync", names[node])
            case ("rename", str(source), str(target)):
                names.update({node: target for node, name in names.items() if name == source})
                yield Step("rename", source, target)
            case ("unlink", str(name)):
                yield Step("unlink", name)
            case ("sync_directory", str(prefix)):
                yield Step("sync", prefix.rstrip("/") or ".")


_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_PATHS = re.compile(r'\d+<([^>]*)>(?:, "((?:[^"\\]|\\.)*)")?')

TRACED = "openat,rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat,pwrite64"


def steps_of_trace(lines: Iterable[str], store: Path) -> Iterator[Step]:
    """The steps in what ``strace -f -y -s 200 -e trace=TRACED`` wrote, as far as they concern the store."""
    waiting: dict[int, tuple[str, str, int]] = {}  # a call that has not returned: its name, arguments and first step
    count = 0
    for line in lines:
        if begun := _CALL.match(line):
            process, call, rest = int(begun[1]), begun[2], begun[3]
            resumed, since = False, count
            if rest.endswith("<unfinished ...>"):
                waiting[process] = (call, rest, count)
                if call in {"fsync", "fdatasync"}:
                    continue
        elif (ended := _RESUMED.match(line)) and int(ended[1]) in waiting:
            process = int(ended[1])
            call, rest, since = waiting.pop(process)
            resumed = True
        else:
            continue
        if resumed and call not in {"fsync", "fdatasync"}:
            continue  # It counted when it began.
        if " = -1 " in line:
            continue
        step = _step(call, rest, store, since, process)
        if step is not None:
            count += 1
            yield step


def _step(call: str, arguments: str, store: Path, since: int, process: int) -> Step | None:
    on_descriptor = call in {"pwrite64", "fsync", "fdatasync"}  # what follows the descriptor is no name then
    found = _PATHS.findall(arguments)[: 2 if call.startswith("rename") else 1]
    paths = [_inside(directory if on_descriptor else os.path.join(directory, name), store) for directory, name in found]
    names = [path for path in paths if path is not None]
    if not names or len(names) < len(found):
        return None
    if call == "openat":
        return Step("create", names[0], process=process) if "O_CREAT" in arguments else None
    if call == "pwrite64":
        return Step("write", names[0], text=arguments, process=process)
    if call in {"fsync", "fdatasync"}:
        return Step("sync", names[0], since=since, process=process)
    if call.startswith("rename"):
        return Step("rename", names[0], names[1], process=process)
    return Step("unlink", names[0], process=process)


def _inside(path: str, store: Path) -> str | None:
    """The name of a path in the store, or None."""
    path = path.rstrip("/")
    return os.path.relpath(path, store) if f"{path}/".startswith(f"{store}/") else None


def _directory(name: str) -> str:
    return os.path.dirname(name) or "."


def _kind(name: str) -> FileKind | None:
    parsed = parse_file_name(name)
    return parsed[0] if parsed else None
