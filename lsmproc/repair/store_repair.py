"""``repair_store``: reads what is sound of a damaged store and writes a new one from it.

The damaged store is never written to, not even its LOCK file; it is held by its lock while it is read. What counts of
it is decided in ``surviving_files.py``, read by ``log_salvage.py`` and ``table_salvage.py``, and merged by sequence
numbers: for each key the newest record that is left wins, and a tombstone hides older ones. The new store holds the
result as one sorted run, with the same sequence numbers.

Memory does not grow with the store: log records are written out as sorted tables of the repair's own every few dozen
mebibytes, tables are read in windows, and the result is written as it is merged. A log segment is read as a whole, as
its owner held it in memory as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from lsmproc.errors import ConfigError, NotAStoreError
from lsmproc.formats.file_names import CURRENT, FileKind, parse_file_name, table_name
from lsmproc.formats.frame_decoding import FrameKey
from lsmproc.formats.messages import TableOptions
from lsmproc.repair.log_salvage import LogSalvage
from lsmproc.repair.new_store import NewStore, check_empty
from lsmproc.repair.report import RepairReport
from lsmproc.repair.sequence_merge import merge_by_sequence
from lsmproc.repair.surviving_files import surviving_files
from lsmproc.repair.table_salvage import SoundTable, TableSalvage, disjoint_runs, window_bytes_of
from lsmproc.storage.file_system import READ, FileSystem, PosixFileSystem, make_store_directory
from lsmproc.storage.reading_lock import locked_for_reading
from lsmproc.storage.wal_reader import Records, apply_frames

OnProgress = Callable[[int, int], None]

_SPILL_BYTES = 32 << 20  # of log frames; their records take about three times this in memory


def repair_store(
    path: str | os.PathLike[str],
    *,
    into: str | os.PathLike[str],
    strict: bool = False,
    on_progress: OnProgress | None = None,
) -> RepairReport:
    """Write all that is sound of the store at ``path`` as a new store at ``into``, and say what is lost.

    Args:
        path: the damaged store; nobody may have it open, and nothing in it is changed.
        into: a directory that does not exist or is empty, and not inside of ``path``.
        strict: leave out what follows the first hole in the log, so that what is kept of it is a prefix.
        on_progress: called with the bytes read so far and in all.

    Raises:
        NotAStoreError: there is no store at ``path``, or something at ``into``.
        ConfigError: ``into`` is, or is inside of, ``path``; or the tables need a package that is not installed.
        LockedError: an owner has the store open, or another repair writes into ``into``.
        StorageError: a file could not be read or written. What is at ``into`` is marked as unfinished then.
    """
    source_path, into_path = os.path.abspath(path), os.path.abspath(into)
    _check_paths(source_path, into_path)
    with ExitStack() as closing:
        source = PosixFileSystem(source_path)
        closing.callback(source.shut)
        names = source.list_directory()
        if CURRENT not in names and not any(map(parse_file_name, names)):
            raise NotAStoreError(f"{source_path} holds no store: neither CURRENT nor a table or a log segment")
        closing.enter_context(locked_for_reading(source, "close it there and repair then"))
        make_store_directory(into_path)
        target = PosixFileSystem(into_path)
        closing.callback(target.shut)
        check_empty(target)
        new = NewStore(target, source_path, TableOptions())
        closing.callback(new.close)
        return _Repair(source, target, new, on_progress or _ignore_progress, strict=strict).run()


class _Repair:
    """One repair, source and target being held."""

    def __init__(
        self, source: FileSystem, target: FileSystem, new: NewStore, on_progress: OnProgress, *, strict: bool
    ) -> None:
        self._source = source
        self._target = target
        self._new = new
        self._on_progress = on_progress
        self._report = RepairReport(source.path, target.path)
        self._names = source.list_directory()
        self._files = surviving_files(source, self._names)
        self._tables = TableSalvage(source, self._files, self._report)
        self._log = LogSalvage(source, self._files, self._report, strict=strict)
        self._total = 0

    def run(self) -> RepairReport:
        self._note_manifest()
        tables = self._tables.tables()
        self._total = sum(self._size(name) for name in self._names)
        runs = disjoint_runs(tables + self._spilled_log())
        window_bytes = window_bytes_of(len(runs))
        merged = merge_by_sequence([self._tables.run(run, window_bytes, self._on_read) for run in runs])
        files = self._new.write(merged, self._report)
        last_sequence = max(self._files.last_sequence, self._tables.last_sequence, self._log.last_sequence)
        self._new.publish(files, last_sequence)
        return self._report

    def _note_manifest(self) -> None:
        report, files = self._report, self._files
        report.notes += files.problems
        if not files.whole:
            report.doubts.append(
                "no manifest says for sure which tables are live: tables that were merged away and not removed yet "
                "count again, so deleted keys may be back; and tables that are gone may be missed by nobody"
            )
        report.notes += [f"{table_name(number)} is not part of the store any more; left out" for number in files.others]
        counted = set(files.segments)
        for name in self._names:
            parsed = parse_file_name(name)
            if parsed is not None and parsed[0] is FileKind.WAL and parsed[1] not in counted:
                report.notes.append(f"{name} is in the tables already; left out")

    def _spilled_log(self) -> list[SoundTable]:
        """The log's records as sorted tables of the repair's own."""
        spilled: list[SoundTable] = []
        records: Records = {}
        size = 0
        for frames in self._log.frames():
            apply_frames(records, frames)
            self._report.log_records += _count(frames.keys)
            size += frames.size
            if size >= _SPILL_BYTES and records:
                spilled.append(self._spill(records))
                records, size = {}, 0
            self._on_progress(self._report.bytes_read, max(self._total, self._report.bytes_read))
        if records:
            spilled.append(self._spill(records))
        return spilled

    def _spill(self, records: Records) -> SoundTable:
        name, file = self._new.spill(records)
        return SoundTable(self._target, name, file, file.smallest, file.largest)

    def _on_read(self, size: int) -> None:
        self._report.bytes_read += size
        self._on_progress(self._report.bytes_read, max(self._total, self._report.bytes_read))

    def _size(self, name: str) -> int:
        if parse_file_name(name) is None:
            return 0
        fd = self._source.open(name, READ)
        try:
            return self._source.size(fd)
        finally:
            self._source.close(fd)


def _check_paths(path: str, into: str) -> None:
    if not os.path.isdir(path):
        raise NotAStoreError(f"there is no store at {path}; check the path")
    real, real_into = os.path.realpath(path), os.path.realpath(into)
    if os.path.commonpath([real, real_into]) == real:
        raise ConfigError([f"{into} is the damaged store or lies in it: a repair writes into a directory of its own"])
    if os.path.lexists(into) and not os.path.isdir(into):
        raise NotAStoreError(f"{into} is not a directory; a repair needs a new or empty directory")


def _count(keys: list[FrameKey]) -> int:
    """Records in frames with these keys: a batch has many, a promise none."""
    return sum(len(key) if isinstance(key, tuple) else key is not None for key in keys)


def _ignore_progress(done: int, total: int) -> None:
    """Nobody watches."""
