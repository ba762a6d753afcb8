"""Chooses the implementation of a table: by the options when writing, by the footer's magic when reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, ConfigError, CorruptionError
from lsmproc.formats.table_format import BLOCK_TABLE_MAGIC, FOOTER, PLAIN_TABLE_MAGIC
from lsmproc.storage.file_system import READ, FileSystem, storage_error
from lsmproc.storage.plain_table import PlainTableBuilder, PlainTableReader
from lsmproc.storage.table_builder import BlockTableBuilder
from lsmproc.storage.table_reader import BlockTableReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import TableOptions
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableBuilder, TableReader
    from lsmproc.storage.block_cache import BlockCache
    from lsmproc.storage.open_file import OpenFiles
    from lsmproc.storage.table_input import OnDamage


def create_table(
    fs: FileSystem, name: str, options: TableOptions, *, unique_id: int, grant: Callable[[int], None]
) -> TableBuilder:
    """A builder that writes the new file ``name`` in the configured format."""
    if options.table_format == "block":
        return BlockTableBuilder(fs, name, options, unique_id=unique_id, grant=grant)
    if options.table_format == "plain":
        return PlainTableBuilder(fs, name, options, unique_id=unique_id, grant=grant)
    raise ConfigError([f"table_format {options.table_format!r} is unknown; choose block or plain"])


def open_table(
    fs: FileSystem,
    metadata: FileMetadata,
    name: str,
    *,
    cache: BlockCache | None,
    open_files: OpenFiles,
    on_damage: OnDamage | None = None,
) -> TableReader:
    """A reader for the table ``name``. Looks at the file's size and magic; the rest is loaded at first use.

    ``on_damage`` is told of damage that the reader finds later; what is found here is raised only.
    """
    try:
        fd = fs.open(name, READ)
    except FileNotFoundError as error:
        raise CorruptionError(f"the table is missing; {DAMAGE_REMEDY}", file=name) from error
    try:
        size = fs.size(fd)
        magic = fs.pread(fd, 8, max(0, size - FOOTER.size))
    except OSError as error:
        raise storage_error(error, name) from error
    finally:
        fs.close(fd)
    if size != metadata.size:
        problem = f"the file has {size} bytes, but the manifest describes a table of {metadata.size}"
        raise CorruptionError(problem, file=name)
    if magic == BLOCK_TABLE_MAGIC:
        return BlockTableReader(fs, metadata, name, cache=cache, open_files=open_files, on_damage=on_damage)
    if magic == PLAIN_TABLE_MAGIC:
        return PlainTableReader(fs, metadata, name, cache=cache, open_files=open_files, on_damage=on_damage)
    raise CorruptionError("the file does not end with a table's footer", file=name, offset=max(0, size - FOOTER.size))
