"""How fast a store has flushed, found in its manifest alone: sequence numbers are wall clock times.

The records of a level-0 table came in between its first and its last sequence number, so its bytes over that time are
the rate at which flushes had to write. Only level 0 tells: deeper tables mix records of all times. Nothing is locked
and nothing is written, so the store may be open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lsmproc.errors import Error
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.manifest import read_manifest

if TYPE_CHECKING:
    from lsmproc.formats.version_edit import FileMetadata

_SHORTEST_SECONDS = 0.05  # what was written in less tells of one batch, and not of a rate
_LEAST_BYTES = 64 << 10


def flush_rate_seen(path: str | os.PathLike[str]) -> int | None:
    """Bytes per second of the fastest flush that level 0 still shows; None where it shows none, or cannot be read."""
    try:
        fs = PosixFileSystem(os.path.abspath(path))
    except (Error, OSError):
        return None
    try:
        return fastest(read_manifest(fs).version.levels[0])
    except (Error, OSError):
        return None
    finally:
        fs.shut()


def fastest(tables: Iterable[FileMetadata]) -> int | None:
    """The highest rate among tables of level 0."""
    rates = []
    for table in tables:
        seconds = (table.largest_sequence - table.smallest_sequence) / 1e9
        if seconds >= _SHORTEST_SECONDS and table.size >= _LEAST_BYTES:
            rates.append(int(table.size / seconds))
    return max(rates, default=None)
