"""About how many bytes of a version's tables a range of keys takes, from indexes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader
    from lsmproc.storage.version import Version


def approximate_size(
    version: Version, reader: Callable[[FileMetadata], TableReader], start: bytes | None, stop: bytes | None
) -> int:
    """Bytes of [start, stop) in all tables, to a block: a table that lies within the range counts whole.

    A table that the range cuts counts by its share of blocks, which assumes blocks of about one size. Raises what
    opening a table and loading its index raises.
    """
    if start is not None and stop is not None and start >= stop:
        return 0
    return sum(_share(file, reader, start, stop) for _, file in version.files())


def _share(
    file: FileMetadata, reader: Callable[[FileMetadata], TableReader], start: bytes | None, stop: bytes | None
) -> int:
    if (start is not None and file.largest < start) or (stop is not None and file.smallest >= stop):
        return 0
    begins_inside = start is not None and file.smallest < start
    ends_inside = stop is not None and file.largest >= stop
    if not begins_inside and not ends_inside:
        return file.size
    table = reader(file)
    count = table.block_count
    first = table.find_block(start) if start is not None and begins_inside else 0
    end = min(table.find_block(stop) + 1, count) if stop is not None and ends_inside else count
    return file.size * (end - first) // count
