"""What maintenance calls of a store answer: its tables, and what a flush or a compaction did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lsmproc.formats.file_names import table_name
from lsmproc.formats.version_edit import FileMetadata


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One table that is part of the store now."""

    level: int
    number: int
    name: str
    size: int  # bytes
    entries: int  # records, tombstones included
    tombstones: int
    smallest: bytes
    largest: bytes

    @classmethod
    def of(cls, level: int, file: FileMetadata) -> Self:
        """The public description of a table."""
        return cls(
            level,
            file.number,
            table_name(file.number),
            file.size,
            file.entries,
            file.tombstones,
            file.smallest,
            file.largest,
        )


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What ``flush_memtable`` wrote."""

    tables: tuple[LiveFile, ...]  # new in level 0; empty if a compaction has taken them already


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """What ``compact_level`` did."""

    level: int
    compactions: int  # 0 when the level had nothing to merge
