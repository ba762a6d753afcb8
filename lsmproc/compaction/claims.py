"""What the running compactions have claimed, and therefore what the next one must leave alone.

A compaction claims two things from the moment it is picked until its edit is applied:

* its input tables: no second compaction reads a table that is about to disappear;
* at its output level, every key between the smallest and the largest key of its inputs. The inputs alone are not
  enough: tables [a, c] and [x, z] merged together may become one table [a, z], so a table [m, n] that arrives later
  must not be put into that gap, although it overlaps no input.

Level 0 has no claim of the second kind, because its tables may overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from lsmproc.compaction.compaction import Compaction
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.version import key_range


@dataclass(frozen=True, slots=True)
class Claims:
    """The tables and the output ranges of the running compactions."""

    tables: frozenset[int] = frozenset()  # file numbers
    ranges: tuple[tuple[int, bytes, bytes], ...] = ()  # (output level, smallest, largest), both ends included

    @classmethod
    def of(cls, running: Iterable[Compaction]) -> Self:
        """The claims of ``running``."""
        compactions = tuple(running)
        return cls(
            frozenset(file.number for compaction in compactions for _, file in compaction.files),
            tuple(
                (compaction.output_level, *key_range([file for _, file in compaction.files]))
                for compaction in compactions
                if compaction.output_level > 0
            ),
        )

    def leave(self, files: Iterable[FileMetadata]) -> bool:
        """Whether none of ``files`` is an input of a running compaction."""
        return self.tables.isdisjoint(file.number for file in files)

    def leave_range(self, level: int, files: Sequence[FileMetadata]) -> bool:
        """Whether a merge of ``files`` may write to ``level`` without meeting the output of a running compaction."""
        if level == 0 or not self.ranges:
            return True
        smallest, largest = key_range(files)
        return not any(
            level == claimed and smallest <= last and first <= largest for claimed, first, last in self.ranges
        )
