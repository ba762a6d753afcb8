"""Verification: reads every byte of a store that is not open, and says what does not fit.

``verify_store`` looks, in this order, at CURRENT and the manifest, at every table that the manifest names (checksum of
the file and of each block, order of the keys, counts, filter and index), and at every live log segment (each frame,
the promises, the chain from segment to segment). Damage in one place does not end the search.

It opens files for reading only and changes nothing, not even the LOCK file. While it reads it holds the lock, so that
no owner can change a file under it; an owner that holds the lock is a LockedError.

What a crash leaves is not damage: a torn tail, a blank segment, files that no manifest names. Those are notes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from operator import gt
from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError, Error, NotAStoreError
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
from lsmproc.formats.log_format import KIND_WAL
from lsmproc.storage.file_system import READ, FileSystem, PosixFileSystem
from lsmproc.storage.manifest import RecoveredManifest, read_manifest
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.options_file import read_options
from lsmproc.storage.reading_lock import locked_for_reading
from lsmproc.storage.tables import open_table
from lsmproc.storage.wal_reader import is_blank, read_log
from lsmproc.storage.wal_recovery import replay_log

if TYPE_CHECKING:
    from lsmproc.formats.frame_decoding import DecodedFrames
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader

_MAX_BLOCKS_LISTED = 100  # of one table; nobody reads more, and a table of another store is bad in every block

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit."""

    file: str
    offset: int | None  # of the first bad byte that is known, None when the whole file is meant
    message: str
    damage: bool  # False: the file could not be read, so nothing is known about it

    def __str__(self) -> str:
        """File, place and what is wrong there."""
        place = self.file if self.offset is None else f"{self.file} at byte {self.offset}"
        return f"{place}: {self.message}"


@dataclass(slots=True)
class VerificationReport:
    """What was read and what was found."""

    path: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # harmless traces of a crash
    tables: int = 0
    table_records: int = 0  # in tables that are sound, tombstones and superseded versions included
    segments: int = 0
    log_records: int = 0  # newest record of each key in the live log
    bytes_read: int = 0  # sizes of the files that were looked at

    @property
    def verdict(self) -> str:
        """One of "sound", "damaged", and "unknown": files could not be read and no damage was seen in others."""
        if any(problem.damage for problem in self.problems):
            return "damaged"
        return "unknown" if self.problems else "sound"


def verify_store(path: str | os.PathLike[str], on_progress: OnProgress | None = None) -> VerificationReport:
    """Read everything in the store at ``path``; ``on_progress(bytes read, bytes in all)`` is called after each file.

    Raises NotAStoreError when there is no store, LockedError when an owner has it open, StorageError when the
    directory cannot be read. Damage is not raised: it is in the report.
    """
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        raise NotAStoreError(f"there is no store at {path}; check the path")
    fs = PosixFileSystem(path)
    try:
        names = fs.list_directory()
        numbered = [parsed for name in names if (parsed := parse_file_name(name))]
        if CURRENT not in names and not numbered:
            raise NotAStoreError(f"{path} holds no store: neither CURRENT nor a table or a log segment; check the path")
        with locked_for_reading(fs, "close it there and verify then"):
            return _Verification(fs, fs.list_directory(), on_progress or _ignore_progress).run()
    finally:
        fs.shut()


class _Verification:
    """One run over one directory."""

    def __init__(self, fs: FileSystem, names: list[str], on_progress: OnProgress) -> None:
        self._fs = fs
        self._names = names
        self._on_progress = on_progress
        self._report = VerificationReport(fs.path)
        self._total = 0

    def run(self) -> VerificationReport:
        segments = self._numbers(FileKind.WAL)
        manifest = self._read_manifest()
        files = [file for _, file in manifest.version.files()] if manifest else []
        if manifest:
            segments = [number for number in segments if number >= manifest.version.log_number]
        self._total = sum(file.size for file in files) + sum(map(self._size, map(wal_name, segments)))
        if manifest:
            self._verify_bounds(manifest)
        for file in files:
            self._verify_table(file)
        sound = [self._verify_segment(number, manifest.store_uuid if manifest else None) for number in segments]
        if manifest:
            if all(sound):
                self._verify_chain(segments, manifest)
            self._note_leftovers(manifest)
        self._note_options()
        return self._report

    def _read_manifest(self) -> RecoveredManifest | None:
        name = CURRENT
        try:
            manifest = read_manifest(self._fs)
            name = manifest_name(manifest.number)
            self._advance(self._size(name))
            if manifest.torn_at is not None:
                self._report.notes.append(
                    f"{name} has a torn tail at byte {manifest.torn_at}: a change of the tree that a crash cut short"
                )
        except FileNotFoundError as error:
            missing = str(error.filename or name)
            self._report.problems.append(Problem(missing, None, f"the file is missing; {DAMAGE_REMEDY}", damage=True))
        except (Error, OSError) as error:
            self._add(error, name)
        else:
            return manifest
        return None

    def _verify_bounds(self, manifest: RecoveredManifest) -> None:
        """What the manifest says of tables must agree with itself; that levels do not overlap it has checked alone."""
        version, name = manifest.version, manifest_name(manifest.number)
        for _, file in version.files():
            table = table_name(file.number)
            problems = {
                f"{table} begins after it ends": file.smallest > file.largest,
                f"the sequence numbers of {table} begin after they end": file.smallest_sequence > file.largest_sequence,
                f"{table} holds a sequence number above the last one": file.largest_sequence > version.last_sequence,
                f"{table} has a number that was never given out": file.number >= version.next_file_number,
                f"{table} holds more tombstones than records": file.tombstones > file.entries,
            }
            for message in (message for message, wrong in problems.items() if wrong):
                self._add(CorruptionError(message, file=name), name)

    def _verify_table(self, file: FileMetadata) -> None:
        name = table_name(file.number)
        self._report.tables += 1
        reader: TableReader | None = None
        try:
            reader = open_table(self._fs, file, name, cache=None, open_files=OpenFiles(1))
            reader.verify()
            self._report.table_records += file.entries
        except CorruptionError as error:
            blocks = list(_bad_blocks(reader)) if reader is not None and error.offset is None else []
            for found in blocks or [error]:
                self._add(found, name)
        except OSError as error:
            self._add(error, name)
        finally:
            if reader is not None:
                reader.close()
        self._advance(file.size)

    def _verify_segment(self, number: int, store_uuid: bytes | None) -> bool:
        name = wal_name(number)
        size = 0
        try:
            if is_blank(self._fs, name):
                self._report.notes.append(f"{name} was allocated ahead and never used")
                return True
            self._report.segments += 1
            size = self._size(name)
            order = _SequenceOrder(name)
            log = read_log(self._fs, name, KIND_WAL, store_uuid, order.check)
            if log.header.number != number:
                raise CorruptionError(f"the file says that it is segment {log.header.number}", file=name, offset=32)
            if log.dirty_tail:
                self._report.notes.append(f"{name} has a torn tail at byte {log.end}: a write that a crash cut short")
        except (Error, OSError) as error:
            self._add(error, name)
            return False
        else:
            return True
        finally:
            self._advance(size)

    def _verify_chain(self, numbers: list[int], manifest: RecoveredManifest) -> None:
        """Replay the log as an opening would: it finds missing segments and broken promises between segments."""
        version, log_number = manifest.version, manifest.version.log_number
        try:
            replayed = replay_log(self._fs, numbers, log_number, manifest.store_uuid, listed=version.segments)
        except (Error, OSError) as error:
            self._add(error, wal_name(log_number))
            return
        self._report.log_records = len(replayed.records)
        unusable = [name for name in replayed.unusable if not is_blank(self._fs, name)]
        self._report.notes += [f"{name} follows a hole in the log; the next open removes it" for name in unusable]

    def _note_leftovers(self, manifest: RecoveredManifest) -> None:
        live = {table_name(file.number) for _, file in manifest.version.files()} | {manifest_name(manifest.number)}
        fate = "is not part of the store any more; the next open removes it"
        if any(problem.damage for problem in self._report.problems):
            # The manifest itself may have lost what named the file.
            fate = "is not named by the manifest; the store is damaged, so leave it for lsmproc repair"
        for name in self._names:
            parsed = parse_file_name(name)
            if parsed is None:
                if name not in UNNUMBERED_NAMES:
                    self._report.notes.append(f"{name} is no file of a store; it is left alone")
            elif name not in live and (parsed[0] is not FileKind.WAL or parsed[1] < manifest.version.log_number):
                self._report.notes.append(f"{name} {fate}")
        unfinished = self._fs.list_directory(TMP_DIRECTORY)
        self._report.notes += [f"{TMP_DIRECTORY}/{name} is unfinished; the next open removes it" for name in unfinished]

    def _note_options(self) -> None:
        """No problem, since nothing depends on it: an opening that cannot read it writes it anew."""
        try:
            read_options(self._fs)
        except (Error, OSError) as error:
            self._report.notes.append(f"{error}; it only tells of the last opening, and the next one replaces it")

    def _add(self, error: Exception, name: str) -> None:
        """Enter an error as a problem of the file that it names, or of ``name``."""
        if isinstance(error, CorruptionError):
            place = error.file or name
            message = str(error).removeprefix(f"{place} at byte {error.offset}: ").removeprefix(f"{place}: ")
            self._report.problems.append(Problem(place, error.offset, message, damage=True))
        else:
            reason = getattr(error, "strerror", None) or str(error)
            name = os.path.basename(getattr(error, "filename", None) or name)
            self._report.problems.append(Problem(name, None, f"the file could not be read: {reason}", damage=False))

    def _numbers(self, kind: FileKind) -> list[int]:
        return sorted(number for found, number in filter(None, map(parse_file_name, self._names)) if found is kind)

    def _size(self, name: str) -> int:
        try:
            fd = self._fs.open(name, READ)
        except OSError:
            return 0  # Whoever reads the file next reports it.
        try:
            return self._fs.size(fd)
        finally:
            self._fs.close(fd)

    def _advance(self, size: int) -> None:
        self._report.bytes_read += size
        self._on_progress(self._report.bytes_read, max(self._total, self._report.bytes_read))


def _bad_blocks(reader: TableReader) -> Iterator[CorruptionError]:
    """The errors of the single blocks of a table whose checksum does not match."""
    try:
        count = reader.block_count
    except CorruptionError as error:
        yield error
        return
    listed = 0
    for index in range(count):
        try:
            reader.columns_with_sequences(index, 1)
        except CorruptionError as error:
            yield error
            listed += 1
            if listed == _MAX_BLOCKS_LISTED:
                yield CorruptionError("further blocks are damaged, and not listed", file=error.file)
                return


class _SequenceOrder:
    """Checks that the sequence numbers of a log never go back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = 0

    def check(self, frames: DecodedFrames) -> None:
        """Frames that follow those before. Raises CorruptionError."""
        sequences = [self._last, *frames.sequences]
        if any(map(gt, sequences, sequences[1:])):
            before, after = next((a, b) for a, b in pairwise(sequences) if a > b)
            raise CorruptionError(f"the sequence numbers go back from {before} to {after}", file=self._name)
        self._last = sequences[-1]


def _ignore_progress(done: int, total: int) -> None:
    """Nobody watches."""
