"""The tree of tables on disk, and the order of steps in which it changes.

A job's outputs are synced files under temporary names. They become part of the tree so, and only so:

1. each gets its file number and is renamed to its final name;
2. the directory is synced, so no name can be lost that the manifest is about to mention;
3. each is opened and checked against the description that the job gave;
4. the edit, which adds the outputs and removes the inputs in one, is made durable in the manifest;
5. the new version is installed for readers, together with the removal of the flushed memtable;
6. files that nothing names any more are removed.

A crash before step 4 leaves files that the next open removes; a crash after it leaves a finished change.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from lsmproc.errors import Error, StorageError
from lsmproc.events.event import StallChanged, TableCreated, TableDeleted, ignore
from lsmproc.formats.file_names import TMP_DIRECTORY, job_of_output, table_name, wal_name
from lsmproc.protocols import Priority
from lsmproc.writing.write_controller import Backlog, Stall, StallReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.events.event import Event
    from lsmproc.formats.messages import JobOutput, SegmentEnd
    from lsmproc.formats.version_edit import FileMetadata, VersionEdit
    from lsmproc.protocols import CompactionPicker
    from lsmproc.reading.read_view import ImmutableMemtable
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.table_cache import TableCache
    from lsmproc.storage.version import Version
    from lsmproc.storage.version_set import VersionSet
    from lsmproc.writing.log_segments import LogSegments
    from lsmproc.writing.write_controller import WriteController
    from lsmproc.writing.write_path import WritePath

_RELIEF = {
    StallReason.LEVEL0: frozenset({Priority.LEVEL0}),
    StallReason.DEBT: frozenset({Priority.LEVEL0, Priority.DEEPER}),
}


class Tree:
    """Changes the tree. Used by the background's callbacks, one at a time; ``update_backlog`` is thread-safe."""

    def __init__(
        self,
        fs: FileSystem,
        version_set: VersionSet,
        tables: TableCache,
        log: LogSegments | None,
        write_path: WritePath,
        picker: CompactionPicker,
        controller: WriteController,
        publish: Callable[[Event], None] = ignore,
    ) -> None:
        """Change what ``version_set`` records, show it to readers through ``write_path``, and tell of it."""
        self._fs = fs
        self._version_set = version_set
        self._tables = tables
        self._log = log
        self._write_path = write_path
        self._picker = picker
        self._controller = controller
        self.debt_bytes: int = picker.debt_bytes(version_set.current)
        self._adopted: set[int] = set()  # numbers of outputs that have their final names but no manifest names yet
        self._backlog_lock = threading.Lock()
        self._publish = publish
        self._stall = Stall()

    @property
    def version(self) -> Version:
        """The current version."""
        return self._version_set.current

    @property
    def pinned_bytes(self) -> int:
        """Bytes of removed tables that are still on disk: readers hold them, or the next clean-up removes them."""
        return self._version_set.retired_bytes

    def set_picker(self, picker: CompactionPicker) -> None:
        """Reckon the debt as ``picker`` does from now on."""
        self._picker = picker
        self.debt_bytes = picker.debt_bytes(self.version)

    @property
    def directory(self) -> str:
        """Where the store is."""
        return self._fs.path

    @property
    def relief(self) -> frozenset[Priority]:
        """The priorities of the jobs that relieve what writes stall for now; flushes go first anyway."""
        return _RELIEF.get(self._controller.stall.reason, frozenset())

    def adopt(self, outputs: tuple[JobOutput, ...]) -> tuple[FileMetadata, ...]:
        """Steps 1 to 3: give outputs their numbers and final names. Raises StorageError, CorruptionError."""
        if not outputs:
            return ()
        files = []
        for output in outputs:
            file = replace(output.file, number=self._version_set.numbers.take())
            self._adopted.add(file.number)
            self._fs.rename(output.temporary_name, table_name(file.number))
            files.append(file)
        self._fs.sync_directory()
        for file in files:
            self._tables.reader(file)
        return tuple(files)

    def change(self, edit: VersionEdit, flushed: ImmutableMemtable | None = None) -> None:
        """Steps 4 to 6. Raises CorruptionError or StorageError, and then the tree is as it was."""
        version = self._version_set.log_and_apply(edit)
        self._drop_unnamed({file.number for _, file in edit.added})
        self.debt_bytes = self._picker.debt_bytes(version)
        self._write_path.install(version, flushed)
        self.update_backlog()
        if flushed is not None:
            self._remove_segments(flushed.segments)
        removed = {number for _, number in edit.removed}  # and added again: moved to another level
        for level, file in edit.added:
            if file.number not in removed:
                self._publish(TableCreated(number=file.number, level=level, bytes=file.size, records=file.entries))
        self.remove_obsolete()

    def update_backlog(self) -> None:
        """Let the write controller know what is waiting."""
        with self._backlog_lock:  # What was read last must be what is told last.
            immutables = len(self._write_path.view.immutables)
            stall = self._controller.update(Backlog(immutables, len(self.version.levels[0]), self.debt_bytes))
            if stall is not None:
                before, self._stall = self._stall, stall
                self._publish(
                    StallChanged(
                        before=before.state.value, after=stall.state.value, reason=stall.reason.value, text=stall.text
                    )
                )
        self._write_path.stall_changed()

    def report_trouble(self, flushes: Error | None, compactions: Error | None) -> None:
        """Let writes that are stopped know why what they wait for does not get on, or that it does again."""
        self._controller.blocked(flushes, compactions)

    def report_pause(self, *, paused: bool) -> None:
        """Let writes that are refused name what keeps their backlog from shrinking."""
        self._controller.compactions_paused = paused

    def remove_obsolete(self) -> None:
        """Remove the tables that no version names any more: neither the current one nor one that a reader holds."""
        for number in self._version_set.take_obsolete():
            self._tables.drop(number)
            self.remove_file(table_name(number))
            self._publish(TableDeleted(number=number))

    def remove_file(self, name: str) -> None:
        """Remove a file that nothing names. If that fails the file is an orphan, which the next open removes."""
        with contextlib.suppress(FileNotFoundError, StorageError):
            self._fs.unlink(name)

    def remove_attempts(self, epoch: int, job: int, before: int) -> None:
        """Remove what attempts at a job lower than ``before`` left when their workers died."""
        for name in self._fs.list_directory(TMP_DIRECTORY):
            of = job_of_output(name)
            if of is not None and of[:2] == (epoch, job) and of[2] < before:
                self.remove_file(f"{TMP_DIRECTORY}/{name}")

    def _drop_unnamed(self, named: set[int]) -> None:
        """Remove the outputs of changes that failed before the one that has just been recorded.

        Not earlier: a change that failed may have reached the manifest all the same, until the next one is recorded.
        """
        for number in self._adopted - named:
            self._tables.drop(number)
            self.remove_file(table_name(number))
        self._adopted.clear()

    def _remove_segments(self, segments: tuple[SegmentEnd, ...]) -> None:
        if self._log is not None:
            self._log.forget(segments)
        for segment in segments:
            self.remove_file(wal_name(segment.number))
