"""A store's directory as a whole: removed, or replaced by another one. Nobody may have it open."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count

from lsmproc.formats.file_names import CURRENT, LOCK, TMP_DIRECTORY, UNNUMBERED_NAMES, parse_file_name
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import PosixFileSystem, storage_error

_NOT_OURS = {"lost+found", TMP_DIRECTORY, LOCK}


def remove_store(path: str) -> None:
    """Remove the files of the store at ``path``, then the directory if nothing else is in it.

    CURRENT goes first: what an interrupt leaves is no store, and another call removes the rest. No error if there is
    nothing. Raises LockedError, StorageError.
    """
    if not os.path.isdir(path):
        return
    fs = PosixFileSystem(path)
    try:
        names = fs.list_directory()
        if not names:
            _remove_directory(path)
            return
        if CURRENT not in names and not any(map(parse_file_name, names)):
            return
        lock = DirectoryLock(fs)
        try:
            if CURRENT in names:
                fs.unlink(CURRENT)
                fs.sync_directory()
            for name in fs.list_directory(TMP_DIRECTORY):
                fs.unlink(f"{TMP_DIRECTORY}/{name}")
            for name in fs.list_directory():
                if name not in _NOT_OURS and (name in UNNUMBERED_NAMES or parse_file_name(name) is not None):
                    fs.unlink(name)
            fs.unlink(LOCK)
            _remove_directory(os.path.join(path, TMP_DIRECTORY))
            _remove_directory(path)
        finally:
            lock.close()
    finally:
        fs.shut()


def replace_store(path: str, *, by: str, keep_as: str) -> None:
    """Give the directory ``by`` the name ``path``, and what had it the name ``keep_as``; all in one parent directory.

    After a crash in between there is nothing at ``path``, and both directories are whole. Raises StorageError.
    """
    parent, name = os.path.split(path)
    fs = PosixFileSystem(parent)
    try:
        fs.rename(name, os.path.basename(keep_as))
        fs.rename(os.path.basename(by), name)
        fs.sync_directory()
    finally:
        fs.shut()


def unused_name(path: str) -> str:
    """``path`` with the lowest number behind it that no file has."""
    return next(name for number in count(1) if not os.path.lexists(name := f"{path}-{number}"))


def _remove_directory(path: str) -> None:
    """Remove a directory if it is empty."""
    try:
        with suppress(FileNotFoundError):
            os.rmdir(path)
    except OSError as error:
        if not os.listdir(path):
            raise storage_error(error, path) from error
