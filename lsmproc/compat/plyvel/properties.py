"""LevelDB's properties, as texts of its form with lsmproc's figures."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from lsmproc.formats.version_edit import LEVEL_COUNT

if TYPE_CHECKING:
    from lsmproc.store import LSMStore

_FILES_AT_LEVEL = re.compile(rb"leveldb\.num-files-at-level([0-9]+)")


def property_text(store: LSMStore, name: bytes) -> bytes | None:
    """``leveldb.stats``, ``.sstables``, ``.num-files-at-level<N>``, ``.approximate-memory-usage``; or None."""
    if match := _FILES_AT_LEVEL.fullmatch(name):
        level = int(match[1])
        return b"%d" % store.stats().levels[level].files if level < LEVEL_COUNT else None
    if name == b"leveldb.stats":
        return _stats(store).encode()
    if name == b"leveldb.sstables":
        return _tables(store).encode()
    if name == b"leveldb.approximate-memory-usage":
        stats = store.stats()
        return b"%d" % (stats.memtable.bytes + stats.immutable_memtables.bytes + stats.block_cache.bytes)
    return None


def _stats(store: LSMStore) -> str:
    lines = [
        "                               Compactions",
        "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)",
        "--------------------------------------------------",
    ]
    for level in store.stats().levels:
        if level.files or level.compactions:
            read = level.bytes_from_above + level.bytes_from_level
            lines.append(
                f"{level.level:3d} {level.files:8d} {level.bytes / 1048576:8.0f} {level.seconds:9.0f} "
                f"{read / 1048576:8.0f} {level.bytes_written / 1048576:9.0f}"
            )
    return "\n".join([*lines, ""])


def _tables(store: LSMStore) -> str:
    by_level = {level: list(files) for level, files in groupby(store.live_files(), key=lambda file: file.level)}
    lines = []
    for level in range(LEVEL_COUNT):
        lines.append(f"--- level {level} ---")
        lines += [
            f" {file.number}:{file.size}[{file.smallest!r} .. {file.largest!r}]" for file in by_level.get(level, ())
        ]
    return "\n".join([*lines, ""])
