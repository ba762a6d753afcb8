"""What the demo loads: the lines of files, as records. The key is ``file:line number``, the value the line itself."""

from __future__ import annotations

import os
import random
import stat
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lsmproc.cli.exit_codes import CannotError
from lsmproc.record_limits import MAX_KEY_BYTES, MAX_VALUE_BYTES

_SKIPPED_FOLDERS = frozenset({"__pycache__", "site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file as it was when the demo began."""

    name: str  # first part of its keys
    path: str
    size: int
    modified_ns: int
    lines: int

    def key(self, number: int) -> bytes:
        """The key of line ``number``, counted from 1."""
        return b"%b:%08d" % (os.fsencode(self.name), number)

    def records(self, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each line from line ``first`` on, counted from 0. Raises CannotError if the file changed."""
        name = os.fsencode(self.name)
        count = 0
        with open(self.path, "rb") as file:
            for count, line in enumerate(file, 1):
                if count > first:
                    yield b"%b:%08d" % (name, count), line.removesuffix(b"\n")
            status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns, count) != (self.size, self.modified_ns, self.lines):
            raise CannotError(f"{self.path} changed during the demo; choose files that nobody writes to")


def standard_library_files() -> list[InputFile]:
    """Every source file of the running Python's standard library."""
    top = sysconfig.get_path("stdlib")
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        paths = (os.path.join(folder, name) for name in names if name.endswith(".py"))
        found += [_input_file(os.path.relpath(path, top), path) for path in paths]
    if not any(file.lines for file in found):
        raise CannotError(f"there are no sources of the standard library in {top}; give files with --input")
    return found


def chosen_files(paths: Iterable[str]) -> list[InputFile]:
    """The files that the user named, each once. Raises CannotError for what cannot be read twice, OSError."""
    files = [_input_file(path, path) for path in dict.fromkeys(paths)]
    if not any(file.lines for file in files):
        raise CannotError("the files hold no line")
    return files


def in_load_order(files: Sequence[InputFile], seed: int) -> list[InputFile]:
    """The files shuffled, so that flushed tables overlap and compactions have something to merge."""
    order = sorted(files, key=lambda file: file.name)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


def records_of(files: Iterable[InputFile], first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The records of all files in their order, from record ``first`` on."""
    for file in files:
        if first < file.lines:
            yield from file.records(first)
        first = max(0, first - file.lines)


def _input_file(name: str, path: str) -> InputFile:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise CannotError(f"{path} is no regular file; the demo reads its input more than once")
    if len(os.fsencode(name)) > MAX_KEY_BYTES // 2:
        raise CannotError(f"the name {name:.60}... is too long to be part of a key")
    lines = longest = 0
    with open(path, "rb") as file:
        for line in file:
            lines += 1
            longest = max(longest, len(line))
    if longest > MAX_VALUE_BYTES:
        raise CannotError(f"{path} has a line of {longest:,} bytes; a value holds up to {MAX_VALUE_BYTES:,}")
    return InputFile(name, os.path.abspath(path), status.st_size, status.st_mtime_ns, lines)
