"""Writes the store that a repair makes: tables of the last level, ascending, and a manifest that names them.

In order, and so that whatever happens in between is no store that could be taken for a whole one:

1. the directory is made, locked, and marked: a file ``REPAIR-UNFINISHED`` in it, synced. While it is there without a
   CURRENT, opening the directory is refused with an error that names this file;
2. the tables are written and synced, then the directory;
3. the manifest is written and synced, and CURRENT published, which makes it a store;
4. the mark is removed, and the directory synced.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

from lsmproc.compaction.job_outputs import random_unique_id
from lsmproc.errors import NotAStoreError
from lsmproc.formats.file_names import LOCK, TMP_DIRECTORY, job_output_name, table_name
from lsmproc.formats.messages import TableOptions
from lsmproc.formats.version_edit import LEVEL_COUNT, FileMetadata, VersionEdit
from lsmproc.repair.report import RepairReport
from lsmproc.repair.table_scan import Columns
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import CREATE_NEW, FileSystem
from lsmproc.storage.manifest import LogManifest
from lsmproc.storage.tables import create_table
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers

MARK = "REPAIR-UNFINISHED"
_LAST_LEVEL = LEVEL_COUNT - 1
_STEP_RECORDS = 1024


class NewStore:
    """One store in the making. Close it in any case."""

    def __init__(self, fs: FileSystem, source: str, options: TableOptions) -> None:
        """Lock and mark the directory of ``fs``, which must be empty. Raises NotAStoreError, LockedError."""
        self._fs = fs
        self._options = options
        self._numbers = FileNumbers(1)
        self._spilled: list[str] = []
        self._lock = DirectoryLock(fs)
        try:
            check_empty(fs)
            self._mark(source)
        except BaseException:
            self._lock.close()
            raise

    def spill(self, records: dict[bytes, tuple[int, bytes | None]]) -> tuple[str, FileMetadata]:
        """Write records of the log as a table of this repair's own; returns its name and description."""
        name = job_output_name(0, 0, 0, len(self._spilled))
        self._spilled.append(name)
        options = replace(self._options, table_format="block", filter_kind="none", compression="none")
        builder = create_table(self._fs, name, options, unique_id=random_unique_id(), grant=_no_limit)
        try:
            keys = sorted(records)
            for start in range(0, len(keys), _STEP_RECORDS):
                some = keys[start : start + _STEP_RECORDS]
                entries = [records[key] for key in some]
                builder.add(some, [value for _, value in entries], [sequence for sequence, _ in entries])
            return name, builder.finish()
        except BaseException:
            builder.abandon()
            raise

    def write(self, windows: Iterator[Columns], report: RepairReport) -> list[FileMetadata]:
        """Write the records, but for the tombstones: nothing is left that they could hide."""
        files: list[FileMetadata] = []
        builder = None
        try:
            for window in windows:
                kept = window
                if None in window.values:
                    selectors = [value is not None for value in window.values]
                    kept = Columns(*(list(compress(column, selectors)) for column in _lists(window)))  # type: ignore[arg-type]
                    report.tombstones_honoured += len(window.keys) - len(kept.keys)
                if not kept.keys:
                    continue
                if builder is None:
                    number = self._numbers.take()
                    name = table_name(number)
                    builder = create_table(self._fs, name, self._options, unique_id=random_unique_id(), grant=_no_limit)
                builder.add(kept.keys, kept.values, kept.sequences)
                report.records_written += len(kept.keys)
                if builder.size >= self._options.max_file_bytes:
                    files.append(replace(builder.finish(), number=number))
                    builder = None
            if builder is not None:
                files.append(replace(builder.finish(), number=number))
                builder = None
        finally:
            if builder is not None:
                builder.abandon()
        report.tables_written = len(files)
        return files

    def publish(self, files: list[FileMetadata], last_sequence: int) -> None:
        """Steps 2 to 4 of the module's order, the tables being written."""
        for name in self._spilled:
            self._fs.unlink(name)
        self._fs.sync_directory()
        edit = VersionEdit(
            added=tuple((_LAST_LEVEL, file) for file in files),
            next_file_number=self._numbers.next,
            last_sequence=last_sequence,
        )
        LogManifest(self._fs, uuid.uuid4().bytes, Version().apply(edit), self._numbers.take).close()
        self._fs.unlink(MARK)
        self._fs.sync_directory()

    def close(self) -> None:
        """Let go of the lock. Idempotent."""
        self._lock.close()

    def _mark(self, source: str) -> None:
        fd = self._fs.open(MARK, CREATE_NEW)
        try:
            text = f"This is an unfinished repair of {source}, and no store. Remove the directory and repair again.\n"
            self._fs.write_all(fd, text.encode(errors="surrogateescape"), 0)
            self._fs.fdatasync(fd)
        finally:
            self._fs.close(fd)
        self._fs.make_directory(TMP_DIRECTORY)
        self._fs.sync_directory()


def check_empty(fs: FileSystem) -> None:
    """Raise NotAStoreError if there is anything in the directory but a lock."""
    names = [name for name in fs.list_directory() if name not in {LOCK, "lost+found"}]
    if MARK in names:
        raise NotAStoreError(f"{fs.path} holds a repair that was not finished; remove the directory and repair again")
    if names:
        raise NotAStoreError(f"{fs.path} is not empty: it holds {names[0]!r}; a repair needs a new or empty directory")


def _lists(window: Columns) -> tuple[list[bytes], list[bytes | None], list[int]]:
    return window.keys, window.values, window.sequences


def _no_limit(size: int) -> None:
    """No rate limit."""
