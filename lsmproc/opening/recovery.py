"""Opening a store's directory: from whatever a crash left to a state that can be served and written.

In order, and so that a crash at any step leaves a directory which the same steps open:

1. the lock is taken;
2. the manifest that CURRENT names is read, and every table it lists must be there in its size and format;
3. the live log segments are made safe to trust, see ``storage/wal_rewriting.py`` (not read-only), and replayed, see
   ``storage/wal_recovery.py``. Nothing that was replayed counts as durable, and no segment goes, before a sync or a
   table holds it;
4. the file of the next segment is made, still blank;
5. a new manifest is begun, with the next epoch; publishing it also makes the segment's name durable. It lists the
   segments that are live from here on: should one of them be missing later, the log does not end early, it is damaged;
6. empty segments and those behind a hole are removed, and the directory synced, so that a new segment, which the
   caller begins, can never follow them. Not earlier: until step 5 the manifest may still name one of them;
7. whatever the manifest does not name is removed: unfinished outputs, obsolete files, older manifests.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError, NotAStoreError, StorageError
from lsmproc.formats.file_names import (
    CURRENT,
    TMP_DIRECTORY,
    UNNUMBERED_NAMES,
    FileKind,
    manifest_name,
    parse_file_name,
    table_name,
    wal_name,
)
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import FileSystem, make_store_directory
from lsmproc.storage.manifest import LogManifest, RecoveredManifest, SnapshotManifest, read_manifest
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.tables import open_table
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers, VersionSet
from lsmproc.storage.wal_reader import is_blank
from lsmproc.storage.wal_recovery import ReplayedLog, replay_log
from lsmproc.storage.wal_rewriting import write_again
from lsmproc.writing.log_segments import NewWal

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.protocols import Manifest, Wal


@dataclass(slots=True)
class OpenedDirectory:
    """A store's directory after recovery."""

    fs: FileSystem
    lock: DirectoryLock
    store_uuid: bytes
    version_set: VersionSet
    replayed: ReplayedLog
    wal: Wal | None  # the next segment, without a header yet; None when read-only
    last_sequence: int


def open_directory(
    config: LSMConfig, open_file_system: Callable[[str], FileSystem], new_wal: NewWal, lock_wait_seconds: float
) -> OpenedDirectory:
    """Lock, recover and clean a store's directory, or make a new one.

    Raises NotAStoreError, LockedError, CorruptionError, StorageError; the directory is then as it was, or as
    another crash at that point would have left it.
    """
    path = os.path.abspath(config.data_dir)
    _check_path(path, may_create=config.create_if_missing and not config.read_only)
    make_store_directory(path)
    fs = open_file_system(path)
    try:
        # Before the lock, so that no LOCK file is left in a directory that is something else; and again with it.
        _check_content(fs, config, locked=False)
        lock = DirectoryLock(fs, lock_wait_seconds, shared=config.read_only)
        try:
            _check_content(fs, config, locked=True)
            return _recover(fs, lock, config, new_wal)
        except BaseException:
            lock.close()
            raise
    except BaseException:
        fs.shut()
        raise


def _check_path(path: str, *, may_create: bool) -> None:
    if not os.path.lexists(path):
        if not may_create:
            raise NotAStoreError(f"there is no store at {path}; check the path, or open it with create_if_missing=True")
    elif not os.path.isdir(path):
        raise NotAStoreError(f"{path} is not a directory; a store is a directory of its own")


def _check_content(fs: FileSystem, config: LSMConfig, *, locked: bool) -> None:
    names = fs.list_directory()
    if CURRENT in names:
        if config.error_if_exists:
            raise NotAStoreError(f"there is a store at {fs.path} already, and error_if_exists is set")
        return
    foreign = [name for name in names if name not in UNNUMBERED_NAMES and parse_file_name(name) is None]
    if foreign:
        raise NotAStoreError(
            f"{fs.path} is not a store: it holds {foreign[0]!r} and no file CURRENT; give the store an empty directory"
        )
    remains = any(parse_file_name(name) for name in names)
    if (not config.create_if_missing or config.read_only) and (locked or not remains):
        # Remains of a store are judged with the lock: another process may be making one.
        _check_unfinished(fs, names)
        raise NotAStoreError(f"there is no store at {fs.path}; check the path, or open it with create_if_missing=True")


def _check_unfinished(fs: FileSystem, names: list[str]) -> None:
    """A crash while a store is being made leaves manifests and a blank segment at most. REQUIRES: the lock."""
    for name in names:
        parsed = parse_file_name(name)
        if parsed and (parsed[0] is FileKind.TABLE or (parsed[0] is FileKind.WAL and not is_blank(fs, name))):
            raise CorruptionError(f"CURRENT is missing beside {name}; {DAMAGE_REMEDY}", file=CURRENT)


def _recover(fs: FileSystem, lock: DirectoryLock, config: LSMConfig, new_wal: NewWal) -> OpenedDirectory:
    if not config.read_only:
        fs.make_directory(TMP_DIRECTORY)
    names = fs.list_directory()
    if CURRENT in names:
        recovered = read_manifest(fs)
    else:
        _check_unfinished(fs, names)
        recovered = RecoveredManifest(0, uuid.uuid4().bytes, Version())
    version = recovered.version
    _check_tables(fs, version)
    numbered = [parsed for name in names if (parsed := parse_file_name(name))]
    segments = [number for kind, number in numbered if kind is FileKind.WAL]
    numbers = FileNumbers(max([version.next_file_number, *(number + 1 for _, number in numbered)]))
    if config.read_only:
        replayed = replay_log(fs, segments, version.log_number, recovered.store_uuid, listed=version.segments)
        version_set = VersionSet(_NoManifest(), version, numbers)
        last_sequence = max(version.last_sequence, replayed.last_sequence)
        return OpenedDirectory(fs, lock, recovered.store_uuid, version_set, replayed, None, last_sequence)
    replayed = _replay(fs, segments, version, recovered.store_uuid)
    last_sequence = max(version.last_sequence, replayed.last_sequence)
    try:
        wal = new_wal(fs, numbers.take(), config.memtable_max_bytes)
    except BaseException:
        replayed.close()
        raise
    try:
        version = version.apply(_opening_edit(version.epoch + 1, replayed, wal.number, numbers.next))
        make_manifest = LogManifest if config.manifest == "log" else SnapshotManifest
        manifest: Manifest = make_manifest(fs, recovered.store_uuid, version, numbers.take)
        try:
            _remove_unusable(fs, replayed.unusable + replayed.empty)
            live_segments = {wal.number, *(segment.number for segment in replayed.segments)}
            _remove_orphans(fs, version, manifest.number, live_segments)
        except BaseException:
            manifest.close()
            raise
    except BaseException:
        wal.close()
        replayed.close()
        raise
    version_set = VersionSet(manifest, version, numbers)
    return OpenedDirectory(fs, lock, recovered.store_uuid, version_set, replayed, wal, last_sequence)


def _opening_edit(epoch: int, replayed: ReplayedLog, wal_number: int, next_file_number: int) -> VersionEdit:
    """What the manifest learns in step 5: what goes in step 6 is not listed, and what was listed goes only then."""
    live = (*((segment.number, segment.synced_end) for segment in replayed.segments), (wal_number, 0))
    return VersionEdit(epoch=epoch, log_number=live[0][0], next_file_number=next_file_number, segments=live)


def _replay(fs: FileSystem, segments: list[int], version: Version, store_uuid: bytes) -> ReplayedLog:
    """Replay the log, having written again what no sync is known to have written."""
    descriptors = write_again(fs, [number for number in segments if number >= version.log_number])
    try:
        replayed = replay_log(fs, segments, version.log_number, store_uuid, descriptors, listed=version.segments)
        for number in descriptors.keys() - {segment.number for segment in replayed.segments}:
            fs.close(descriptors.pop(number))
    except BaseException:
        for fd in descriptors.values():
            fs.close(fd)
        raise
    return replayed


def _check_tables(fs: FileSystem, version: Version) -> None:
    """Every table that the manifest lists must be there, in the size it had, and end as a table does.

    Reading finds the rest; but what an opened store looks at anyway must be looked at before anything is changed.
    """
    open_files = OpenFiles(1)
    for _, file in version.files():
        open_table(fs, file, table_name(file.number), cache=None, open_files=open_files)


def _remove_unusable(fs: FileSystem, names: tuple[str, ...]) -> None:
    """Unlike an orphan, a segment behind a hole must be gone for good before the next one is begun."""
    for name in names:
        fs.unlink(name)
    if names:
        fs.sync_directory()


def _remove_orphans(fs: FileSystem, version: Version, manifest_number: int, live_segments: set[int]) -> None:
    live = {table_name(file.number) for _, file in version.files()}
    live |= {manifest_name(manifest_number), *map(wal_name, live_segments)}
    orphans = [name for name in fs.list_directory() if parse_file_name(name) is not None and name not in live]
    orphans += [f"{TMP_DIRECTORY}/{name}" for name in fs.list_directory(TMP_DIRECTORY)]
    for name in orphans:
        with suppress(StorageError, FileNotFoundError):  # It stays an orphan until the next open.
            fs.unlink(name)


class _NoManifest:
    """The manifest of a store that is opened read-only: nothing can be recorded."""

    number = 0

    def append(self, edit: VersionEdit, after: Version) -> None:
        """Never called: there is no background work."""
        raise NotImplementedError

    def doubt(self) -> None:
        """Never called, as ``append``."""

    def close(self) -> None:
        """Nothing is open."""
