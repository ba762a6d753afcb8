"""A consistent copy of an open store, made of hard links: in a moment, and for no space until tables are merged away.

1. the memtable is flushed, so that the tables hold everything, and the present version is pinned: nothing that it
   names is removed meanwhile, whatever compactions do;
2. its tables are linked into the new directory, or copied where it is on another file system, and their names synced;
3. a manifest that names them is published there, CURRENT last.

A copy that fails is taken away again; a crash on the way leaves a directory without CURRENT, which no one takes for a
store. Tables are never changed once they are written, so original and copy may share them; the copy has an identity and
a log of its own.
"""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmproc.errors import NotAStoreError, ReadOnlyError, StorageError
from lsmproc.formats.file_names import CURRENT, LOCK, TMP_DIRECTORY, table_name
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.opening.option_history import record_options
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import FileSystem, make_store_directory, remove_directory
from lsmproc.storage.linked_files import link_or_copy
from lsmproc.storage.manifest import LogManifest
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers

if TYPE_CHECKING:
    from lsmproc.opening.store_parts import StoreParts


_NOT_OURS = frozenset({LOCK, "lost+found"})  # what an empty directory may hold


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What a checkpoint holds."""

    path: str
    tables: int
    bytes: int  # of the tables
    copied_bytes: int  # of those that could not be linked
    last_sequence: int  # of the newest write in it


def make_checkpoint(parts: StoreParts, path: str | os.PathLike[str]) -> CheckpointInfo:
    """Steps 2 and 3. REQUIRES: what is to be in the copy was flushed. See LSMStore.checkpoint for what it raises."""
    if parts.config.read_only:
        raise ReadOnlyError("a checkpoint flushes the log first; open the store without read_only=True")
    target_path = os.path.abspath(path)
    with ExitStack() as stack:
        version = stack.enter_context(closing(parts.pin())).view.version
        _check_target(parts.fs.path, target_path)
        make_store_directory(target_path)
        target = parts.env.open_file_system(target_path)
        stack.callback(target.shut)
        lock = DirectoryLock(target)
        stack.callback(lock.close)
        _check_empty(target)
        files = version.files()
        try:
            target.make_directory(TMP_DIRECTORY)
            copied = sum(file.size for _, file in files if not link_or_copy(parts.fs, target, table_name(file.number)))
            target.sync_directory()
            _publish(target, version)
            record_options(target, parts.written_settings())
        except BaseException:
            with suppress(StorageError):  # What made the copy fail is what the caller has to know.
                _remove_all(target)
            raise
    return CheckpointInfo(target_path, len(files), sum(file.size for _, file in files), copied, version.last_sequence)


def _check_target(source: str, target: str) -> None:
    inside = f"{os.path.realpath(target)}{os.sep}".startswith(f"{os.path.realpath(source)}{os.sep}")
    if inside or (os.path.lexists(target) and not os.path.isdir(target)):
        raise NotAStoreError(f"{target} cannot hold a checkpoint: give it a directory of its own, outside of the store")


def _check_empty(target: FileSystem) -> None:
    names = [name for name in target.list_directory() if name not in _NOT_OURS]
    if names:
        raise NotAStoreError(
            f"{target.path} is not empty: it holds {names[0]!r}; a checkpoint needs a new or empty directory"
        )


def _remove_all(target: FileSystem) -> None:
    """Take a copy that failed away again, CURRENT first; the directory was empty before. Raises StorageError."""
    names = [name for name in target.list_directory() if name not in {*_NOT_OURS, TMP_DIRECTORY}]
    for name in sorted(names, key=lambda name: name != CURRENT):
        target.unlink(name)
    for name in target.list_directory(TMP_DIRECTORY):
        target.unlink(f"{TMP_DIRECTORY}/{name}")
    remove_directory(os.path.join(target.path, TMP_DIRECTORY))


def _publish(target: FileSystem, version: Version) -> None:
    files = version.files()
    numbers = FileNumbers(max([1, *(file.number + 1 for _, file in files)]))
    edit = VersionEdit(
        added=tuple(files), next_file_number=numbers.next, last_sequence=version.last_sequence, epoch=version.epoch
    )
    LogManifest(target, uuid.uuid4().bytes, Version().apply(edit), numbers.take).close()
