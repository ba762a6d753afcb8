"""Reads one table file that may be damaged: what is sound of it, and what is not and why.

A scan needs the file alone; what the manifest says of the table helps when the file's own footer is damaged. A block
counts only if its checksum matches, and that is bound to the table's unique id and to the block's place. So the one
thing that must be known is the id: the manifest, the footer and the properties all have it.

Where the index is damaged, blocks are found without it: a block ends with its codec, its raw length and its checksum,
so each place that could be such an end is tried (see sealed_search.py). Nothing is ever written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Self

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import MAX_RAW_BLOCK_BYTES, check_layout, decode_columns, sequence_planes, unseal_block
from lsmproc.formats.byte_planes import decode_sequences
from lsmproc.formats.compression import decompress
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    FOOTER,
    MAX_SECTION_BYTES,
    PLAIN_TABLE_MAGIC,
    BlockHandle,
    Footer,
    Properties,
    TopIndex,
    decode_footer,
    decode_partition,
    decode_properties,
    decode_top_index,
)
from lsmproc.repair.bad_sectors import read_what_can_be
from lsmproc.repair.sealed_search import TRAILER_BYTES, next_sealed, trailer_of
from lsmproc.storage.file_system import READ, FileSystem

if TYPE_CHECKING:
    from types import TracebackType

    from lsmproc.formats.version_edit import FileMetadata

_MAGIC = re.compile(b"|".join(map(re.escape, (BLOCK_TABLE_MAGIC, PLAIN_TABLE_MAGIC))))
_MOST_FOOTERS = 1000  # that are tried in one file
_JUNK_BYTES = 64 << 10  # a footer is looked for up to so far before the end of a file that does not end with one


@dataclass(frozen=True, slots=True)
class Columns:
    """The records of one sound block, ascending; None is a tombstone."""

    keys: list[bytes]
    values: list[bytes | None]
    sequences: list[int]


@dataclass(frozen=True, slots=True)
class ScannedBlock:
    """One block, or a stretch of the file in which no block can be told from another."""

    offset: int
    size: int  # stored bytes
    fence: bytes | None  # the last key that the index gives, None where there is no index
    columns: Columns | None  # None: damaged
    problem: str  # why; empty for a sound block
    codec: int
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something outside of the blocks that does not check."""

    offset: int
    message: str


class TableScan:
    """One table file. Use as a context manager.

    Attributes:
        size: bytes of the file.
        end: where the table ends; before the end of the file if something was appended.
        footer, properties, top: None if they are damaged beyond use.
        unique_id: what the checksums are bound to; None if nothing in the file proves one.
        findings: what is wrong outside of the blocks, in no order.
        unread_bytes: bytes that the disk could not read, counted at each attempt.
    """

    def __init__(self, fs: FileSystem, name: str, metadata: FileMetadata | None = None) -> None:
        """Open ``name`` and read all but its blocks. Raises StorageError, FileNotFoundError."""
        self.name = name
        self.metadata = metadata
        self.findings: list[Finding] = []
        self.footer: Footer | None = None
        self.properties: Properties | None = None
        self.top: TopIndex | None = None
        self.unread_bytes: int = 0
        self._fs = fs
        self._fd = fs.open(name, READ)
        try:
            self.size: int = fs.size(self._fd)
            self.end: int = self.size
            self._read_footer()
            hints = self._hints()
            self.unique_id: int | None = self._prove_id(hints)
            if self.unique_id is not None:
                self._read_properties(hints)
                self._read_top(hints)
        except BaseException:
            self.close()
            raise

    @property
    def is_plain(self) -> bool:
        """Whether the table is in the plain format, as far as its footer can be read."""
        return self.footer is not None and self.footer.magic == PLAIN_TABLE_MAGIC

    def blocks(self) -> Iterator[ScannedBlock]:
        """Every block in its order, sound or not; keys ascend from each sound one to the next."""
        if self.unique_id is None:
            if self.size:
                problem = "nothing proves the table's unique id, which every checksum is bound to"
                yield ScannedBlock(0, self.size, None, None, problem, 0, 0)
            return
        last: bytes | None = None
        for block in self._found_blocks():
            columns = block.columns
            if columns is not None and last is not None and columns.keys[0] <= last:
                yield replace(block, columns=None, problem="its keys do not follow those of the block before")
                continue
            last = columns.keys[-1] if columns is not None else last
            yield block

    def filter_problem(self) -> str:
        """What is wrong with the filter; empty if it checks or there is none."""
        if self.footer is None or self.unique_id is None or not self.footer.filter.size:
            return ""
        handle = self.footer.filter
        try:
            unseal_block(self.read(handle.offset, handle.size), self.unique_id ^ handle.offset, MAX_SECTION_BYTES)
        except CorruptionError as error:
            return str(error)
        return ""

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end of the file. Raises StorageError."""
        count = max(0, min(size, self.size - offset))
        data, unread = read_what_can_be(self._fs, self._fd, self.name, count, offset)
        self.unread_bytes += unread
        return data

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # The parts around the blocks

    def _read_footer(self) -> None:
        """The footer at the end of the file, or else at the end that the manifest gives, or else before some junk."""
        ends = [self.size]
        if self.metadata is not None and self.metadata.size < self.size:
            ends.insert(0, self.metadata.size)
        tail_start = max(0, self.size - _JUNK_BYTES)
        tail = self.read(tail_start, _JUNK_BYTES)
        places = [match.start() for match in _MAGIC.finditer(tail)][-_MOST_FOOTERS:]
        ends += [tail_start + place + FOOTER.size for place in reversed(places)]
        problem = ""
        for end in ends:
            try:
                self.footer = decode_footer(
                    self.read(end - FOOTER.size, FOOTER.size) if end >= FOOTER.size else b"", end
                )
            except CorruptionError as error:
                problem = problem or str(error)
                continue
            self.end = end
            if end < self.size:
                self.findings.append(Finding(end, f"{self.size - end} bytes follow the table"))
            return
        self.findings.append(Finding(max(0, self.size - FOOTER.size), problem))

    def _hints(self) -> _Hints:
        """Where the sections may stand, and which unique ids the table may have."""
        metadata = self.metadata
        ids = [] if metadata is None else [metadata.unique_id]
        if self.footer is not None:
            footer = self.footer
            # A sound footer decides: a file of another id is another table, whatever the manifest says.
            return _Hints([footer.unique_id], [footer.filter], [footer.index], [footer.properties])
        data = self.read(self.end - FOOTER.size, FOOTER.size) if self.end >= FOOTER.size else b""
        if len(data) != FOOTER.size:
            return _Hints(ids, [], [], [])
        _, _, _, unique_id, f_offset, f_size, i_offset, i_size, p_offset, p_size, _ = FOOTER.unpack(data)
        stop = self.end - FOOTER.size
        # The sections touch each other, so each bound is given twice, and one changed number does not hide it.
        starts = _unique([p_offset, i_offset + i_size, stop - p_size])
        properties = [BlockHandle(start, stop - start) for start in starts if 0 < start < stop]
        index_starts = _unique([i_offset, f_offset + f_size])
        index = [BlockHandle(a, b - a) for a in index_starts for b in starts if 0 < a < b < stop]
        filters = [BlockHandle(f_offset, a - f_offset) for a in index_starts if 0 < f_offset <= a < stop]
        ids += [unique_id]
        for handle in properties:
            ids += self._unproven_id(handle)
        return _Hints(_unique(ids), filters, index, properties)

    def _unproven_id(self, handle: BlockHandle) -> list[int]:
        """The id in a properties section that may be damaged: no proof, but worth a try."""
        stored = self.read(handle.offset, min(handle.size, 1 << 20))
        if len(stored) <= TRAILER_BYTES:
            return []
        codec, raw_bytes = trailer_of(stored)
        try:
            return [decode_properties(decompress(stored[:-TRAILER_BYTES], codec, min(raw_bytes, 1 << 20))).unique_id]
        except CorruptionError:
            return []

    def _prove_id(self, hints: _Hints) -> int | None:
        """The first of the possible ids under which any section or block checks."""
        for unique_id in hints.ids:
            for handle in (*hints.properties, *hints.index):
                if self._opens(handle, unique_id):
                    return unique_id
            if next_sealed(self.read, unique_id, 0, self.end) is not None:
                return unique_id
        return None

    def _opens(self, handle: BlockHandle, unique_id: int) -> bool:
        try:
            unseal_block(self.read(handle.offset, handle.size), unique_id ^ handle.offset, MAX_SECTION_BYTES)
        except CorruptionError:
            return False
        return True

    def _section(self, handle: BlockHandle) -> bytes:
        assert self.unique_id is not None
        return unseal_block(self.read(handle.offset, handle.size), self.unique_id ^ handle.offset, MAX_SECTION_BYTES)

    def _read_properties(self, hints: _Hints) -> None:
        problem = "the properties are not where the footer could say"
        for handle in hints.properties:
            try:
                self.properties = decode_properties(self._section(handle))
                return
            except CorruptionError as error:
                problem = f"properties: {error}"
        self.findings.append(Finding(hints.properties[0].offset if hints.properties else self.end, problem))

    def _read_top(self, hints: _Hints) -> None:
        if self.is_plain:
            return
        problem = "the index is not where the footer could say"
        for handle in hints.index:
            try:
                self.top = decode_top_index(self._section(handle))
                return
            except CorruptionError as error:
                problem = f"index: {error}"
        self.findings.append(Finding(hints.index[0].offset if hints.index else self.end, problem))

    # The blocks

    def _found_blocks(self) -> Iterator[ScannedBlock]:
        if self.is_plain:
            assert self.footer is not None
            yield self._block(0, self.footer.filter.offset, None)
            return
        if self.top is None:
            yield from self._searched(0, self.footer.filter.offset if self.footer is not None else self.end)
            return
        starts = list(accumulate(self.top.data_bytes, initial=0))
        places = list(accumulate(self.top.partition_bytes, initial=starts[-1]))
        for (start, stop), place, size in zip(pairwise(starts), places, self.top.partition_bytes, strict=False):
            try:
                fences, sizes = _partition(self._section(BlockHandle(place, size)), stop - start)
            except CorruptionError as error:
                self.findings.append(Finding(place, f"index partition: {error}"))
                yield from self._searched(start, stop)
                continue
            for offset, block_bytes, fence in zip(accumulate(sizes, initial=start), sizes, fences, strict=False):
                yield self._block(offset, block_bytes, fence)

    def _searched(self, start: int, stop: int) -> Iterator[ScannedBlock]:
        """The blocks of a stretch without an index. Sections of the index may follow: they are none."""
        assert self.unique_id is not None
        while start < stop:
            found = next_sealed(self.read, self.unique_id, start, stop)
            if found is None:
                yield ScannedBlock(start, stop - start, None, None, "no block is found here without the index", 0, 0)
                return
            offset, size = found
            block = self._block(offset, size, None)
            if offset > start:
                problem = "a block or more that do not match their checksums"
                yield ScannedBlock(start, offset - start, None, None, problem, 0, 0)
            if block.columns is None and not block.problem.startswith("its keys"):
                return  # The first section behind the blocks: an index partition, or the filter.
            yield block
            start = offset + size

    def _block(self, offset: int, size: int, fence: bytes | None) -> ScannedBlock:
        assert self.unique_id is not None
        largest = MAX_SECTION_BYTES if self.is_plain else MAX_RAW_BLOCK_BYTES
        stored = self.read(offset, size)
        codec, raw_bytes = trailer_of(stored) if len(stored) >= TRAILER_BYTES else (0, 0)
        try:
            if len(stored) != size:
                problem = f"the file ends {size - len(stored)} bytes before the block does"
                return ScannedBlock(offset, size, fence, None, problem, codec, raw_bytes)
            columns = _columns(unseal_block(stored, self.unique_id ^ offset, largest), fence)
        except CorruptionError as error:
            return ScannedBlock(offset, size, fence, None, str(error), codec, raw_bytes)
        return ScannedBlock(offset, size, fence, columns, "", codec, raw_bytes)


@dataclass(frozen=True, slots=True)
class _Hints:
    """What a footer, sound or not, says; the likeliest first."""

    ids: list[int]
    filters: list[BlockHandle]
    index: list[BlockHandle]
    properties: list[BlockHandle]


def _partition(raw: bytes, size: int) -> tuple[list[bytes], list[int]]:
    """The fences and stored sizes of the blocks of a partition, which take ``size`` bytes."""
    fences, sizes = decode_partition(raw)
    if sum(sizes) != size:
        raise CorruptionError("it does not cover its blocks")
    return fences, sizes


def _columns(raw: bytes, fence: bytes | None) -> Columns:
    """The records of a raw block, which end with ``fence`` if there is one."""
    check_layout(raw)
    keys, values = decode_columns(raw)
    if any(left >= right for left, right in pairwise(keys)):
        raise CorruptionError("its keys do not ascend")
    if fence is not None and keys[-1] != fence:
        raise CorruptionError("its keys do not end with the one in the index")
    return Columns(keys, values, decode_sequences([sequence_planes(raw)]))


def _unique(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def name_of(path: str) -> tuple[str, str]:
    """Directory and name of a file that is given by its path, with links resolved."""
    directory, name = os.path.split(os.path.realpath(path))
    return directory, name
