"""Removing a store with everything in it, and nothing else.

Only what is a store's is removed: a directory that holds anything else, or no store at all, is refused before the
first file goes, and so is a store that is open. CURRENT goes first, so that what an interrupt leaves is not taken for a
store; calling again removes the rest.
"""

from __future__ import annotations

import os
from contextlib import suppress

from lsmproc.errors import NotAStoreError
from lsmproc.formats.file_names import CURRENT, LOCK, TMP_DIRECTORY, UNNUMBERED_NAMES, parse_file_name
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import PosixFileSystem, remove_directory

_KEPT = frozenset({TMP_DIRECTORY, LOCK, "lost+found"})


def destroy(path: str | os.PathLike[str], *, missing_ok: bool = False) -> None:
    """Remove the store in the directory ``path``, and the directory with it. There is no way back.

    Args:
        path: the store's directory.
        missing_ok: be content if there is nothing at ``path``.

    Raises:
        NotAStoreError: there is no store, or the directory holds something else as well; nothing was removed.
        LockedError: an owner or a reader has it open; nothing was removed.
        StorageError: the operating system refused to remove a file.
    """
    path = os.path.abspath(path)
    if not os.path.lexists(path):
        if missing_ok:
            return
        raise NotAStoreError(f"there is no store at {path}; check the path")
    if not os.path.isdir(path) or os.path.islink(path):
        raise NotAStoreError(f"{path} is not a directory; a store is a directory of its own")
    fs = PosixFileSystem(path)
    try:
        _check_content(fs)
        lock = DirectoryLock(fs)
        try:
            names = fs.list_directory()
            _check_content(fs)
            for name in sorted(set(names) - _KEPT, key=lambda name: name != CURRENT):
                fs.unlink(name)
            for name in fs.list_directory(TMP_DIRECTORY):
                fs.unlink(f"{TMP_DIRECTORY}/{name}")
            fs.sync_directory()
            fs.unlink(LOCK)
        finally:
            lock.close()
    finally:
        fs.shut()
    with suppress(FileNotFoundError):
        remove_directory(os.path.join(path, TMP_DIRECTORY))
    if not os.listdir(path):  # A mount point keeps its lost+found, and itself.
        remove_directory(path)


def _check_content(fs: PosixFileSystem) -> None:
    names = fs.list_directory()
    foreign = [name for name in names if name not in UNNUMBERED_NAMES and parse_file_name(name) is None]
    if foreign:
        raise NotAStoreError(f"{fs.path} holds {foreign[0]!r}, which is no file of a store; move it away first")
    if CURRENT not in names and not any(map(parse_file_name, names)):
        raise NotAStoreError(f"{fs.path} holds no store: neither CURRENT nor a table or a log segment; check the path")
