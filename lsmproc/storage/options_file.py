"""The file OPTIONS of a store: read as a whole, replaced as a whole.

It is written under a temporary name, synced, renamed and its name synced, as CURRENT is; only when it changes, so that
an opening with the same options writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from lsmproc.errors import CorruptionError, StorageError
from lsmproc.formats.file_names import OPTIONS, TMP_DIRECTORY
from lsmproc.formats.options_record import MAX_BYTES, decode_options, encode_options
from lsmproc.storage.file_system import CREATE_NEW, READ, FileSystem, storage_error

_TEMPORARY = f"{TMP_DIRECTORY}/{OPTIONS}"


def read_options(fs: FileSystem) -> dict[str, str] | None:
    """The recorded settings, as TOML writes each; None where there is no record. Raises CorruptionError, StorageError.

    What is damaged may be replaced: nothing but reports depends on it.
    """
    try:
        fd = fs.open(OPTIONS, READ)
    except FileNotFoundError:
        return None
    try:
        data = fs.pread(fd, MAX_BYTES + 1, 0)
    except OSError as error:
        raise storage_error(error, OPTIONS) from error
    finally:
        fs.close(fd)
    try:
        return decode_options(data)
    except CorruptionError as error:
        raise CorruptionError(str(error), file=OPTIONS) from None


def write_options(fs: FileSystem, settings: Mapping[str, str]) -> None:
    """Record settings in the place of those before. REQUIRES: the lock, the directory tmp. Raises StorageError."""
    with suppress(FileNotFoundError):
        fs.unlink(_TEMPORARY)  # Of a write that failed.
    try:
        _write_temporary(fs, encode_options(settings))
        fs.rename(_TEMPORARY, OPTIONS)
    except StorageError:
        with suppress(StorageError, FileNotFoundError):
            fs.unlink(_TEMPORARY)
        raise
    fs.sync_directory()


def _write_temporary(fs: FileSystem, data: bytes) -> None:
    fd = fs.open(_TEMPORARY, CREATE_NEW)
    try:
        fs.write_all(fd, data, 0)
        fs.fdatasync(fd)
    finally:
        fs.close(fd)
