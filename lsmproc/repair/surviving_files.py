"""Which files of a damaged store count, as far as a manifest can still say.

* A manifest that is whole decides: its tables are live, and so are the log segments from its log number on. Without
  CURRENT the manifest of the highest number decides, if it is whole and all its tables are there: an older one is
  removed only after CURRENT names its successor.
* Otherwise every table in the directory counts, but for those that a manifest's sound frames say were removed, and
  every segment from the highest log number that is known. Records carry sequence numbers, so the newest wins; but a
  table that had been merged away and not removed yet counts again, and with it keys whose deletion was dropped. This
  is a doubt, and reported as one.

A manifest that was cut reads as whole, and as an older one. What gives it away is a table or segment that it names
and that is gone, while there are files which it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import CURRENT, FileKind, manifest_name, parse_file_name
from lsmproc.formats.log_format import KIND_MANIFEST
from lsmproc.formats.version_edit import FileMetadata, VersionEdit, decode_version_edit
from lsmproc.repair.log_scan import Gap, LogScan
from lsmproc.storage.file_system import READ, FileSystem, storage_error
from lsmproc.storage.manifest import read_manifest
from lsmproc.storage.version import Version

_EDIT_KEY = b"version_edit"


@dataclass(slots=True)
class SurvivingFiles:
    """What a repair has to read."""

    whole: bool  # a manifest decides
    tables: list[tuple[int, FileMetadata | None]]  # file number and what a manifest says of the table
    segments: list[int]  # ascending
    log_number: int  # every segment below it is in the tables; 0 where nobody knows
    last_sequence: int
    store_uuid: bytes | None
    synced_ends: dict[int, int] = field(
        default_factory=dict
    )  # of the segments that must be there, if a manifest decides
    problems: list[str] = field(default_factory=list)  # of CURRENT and the manifests
    others: list[int] = field(default_factory=list)  # tables that are there and do not count


@dataclass(slots=True)
class _Known:
    """What the sound frames of one manifest tell."""

    number: int
    edits: list[VersionEdit] = field(default_factory=list)
    damaged: bool = False
    store_uuid: bytes | None = None


def surviving_files(fs: FileSystem, names: list[str]) -> SurvivingFiles:
    """Look at CURRENT, the manifests and the names in the directory. Raises StorageError."""
    tables, segments = _numbers(names, FileKind.TABLE), _numbers(names, FileKind.WAL)
    problems: list[str] = []
    try:
        manifest = read_manifest(fs)
        if not _is_outdated(manifest.version, tables, segments):
            return _decided(manifest.version, manifest.store_uuid, tables, segments, problems)
        problems.append(
            f"{manifest_name(manifest.number)}: its end is missing: files that it names are gone, and it does not "
            "know tables that are there"
        )
    except FileNotFoundError as error:
        problems.append(f"{error.filename or CURRENT}: the file is missing")
    except CorruptionError as error:
        problems.append(str(error))
    known = [_read_known(fs, number, problems) for number in reversed(_numbers(names, FileKind.MANIFEST))]
    if known and _named_by_current(fs) in (None, known[0].number):
        version = _version_of(known[0])
        if (
            version is not None
            and not _is_outdated(version, tables, segments)
            and _lists_what_is_there(version, tables)
        ):
            return _decided(version, known[0].store_uuid, tables, segments, problems)
    return _undecided(known, tables, segments, problems)


def _decided(
    version: Version, store_uuid: bytes | None, tables: list[int], segments: list[int], problems: list[str]
) -> SurvivingFiles:
    live = {file.number for _, file in version.files()}
    return SurvivingFiles(
        whole=True,
        tables=[(file.number, file) for _, file in version.files()],
        segments=[number for number in segments if number >= version.log_number],
        log_number=version.log_number,
        last_sequence=version.last_sequence,
        store_uuid=store_uuid,
        synced_ends=dict(version.segments),
        problems=problems,
        others=[number for number in tables if number not in live],
    )


def _undecided(known: list[_Known], tables: list[int], segments: list[int], problems: list[str]) -> SurvivingFiles:
    """Everything that is there, but for what the sound frames of the manifests rule out."""
    described: dict[int, FileMetadata] = {}
    removed: set[int] = set()
    log_number = last_sequence = 0
    for manifest in reversed(known):
        for edit in manifest.edits:
            # A table that moves to another level is removed and added by one edit.
            removed |= {number for _, number in edit.removed}
            removed -= {file.number for _, file in edit.added}
            described |= {file.number: file for _, file in edit.added}
            log_number = max(log_number, edit.log_number or 0)
            last_sequence = max(last_sequence, edit.last_sequence or 0)
    # One that is described and gone was merged away after the damage, or is lost: the repair says so.
    counted = sorted({*tables, *described} - removed)
    return SurvivingFiles(
        whole=False,
        tables=[(number, described.get(number)) for number in counted],
        segments=[number for number in segments if number >= log_number],
        log_number=log_number,
        last_sequence=last_sequence,
        store_uuid=next((manifest.store_uuid for manifest in known if manifest.store_uuid), None),
        problems=problems,
        others=[number for number in tables if number in removed],
    )


def _is_outdated(version: Version, tables: list[int], segments: list[int]) -> bool:
    """Whether files of the version are gone while there are tables that were made after it."""
    gone = {file.number for _, file in version.files()} - set(tables)
    flushed = version.log_number and version.log_number not in segments
    return bool(gone or flushed) and any(number >= version.next_file_number for number in tables)


def _lists_what_is_there(version: Version, tables: list[int]) -> bool:
    """Whether every table of a version that nothing names is there: if not, it may be an old one."""
    return {file.number for _, file in version.files()} <= set(tables)


def _read_known(fs: FileSystem, number: int, problems: list[str]) -> _Known:
    """The edits in the sound frames of one manifest."""
    name = manifest_name(number)
    scan = LogScan(fs, name)
    known = _Known(number)
    header = scan.header
    if header is not None and header.kind == KIND_MANIFEST:
        known.store_uuid = header.store_uuid
    for part in scan.parts():
        if isinstance(part, Gap):
            if not part.torn:
                known.damaged = True
                problems.append(f"{name} at byte {part.offset}: {part.problem}, up to byte {part.end}")
            continue
        for key, value in zip(part.frames.keys, part.frames.values, strict=True):
            if key == _EDIT_KEY and isinstance(value, bytes):
                try:
                    known.edits.append(decode_version_edit(value))
                except CorruptionError as error:
                    known.damaged = True
                    problems.append(f"{name}: {error}")
    return known


def _version_of(known: _Known) -> Version | None:
    """The version that a manifest leads to, if all of it is sound."""
    if known.damaged or not known.edits:
        return None
    version = Version()
    try:
        for edit in known.edits:
            version = version.apply(edit)
    except CorruptionError:
        return None
    return version


def _named_by_current(fs: FileSystem) -> int | None:
    """The number of the manifest that CURRENT names; None if it is lost or does not check."""
    try:
        fd = fs.open(CURRENT, READ)
    except FileNotFoundError:
        return None
    try:
        name, _, check = fs.pread(fd, 100, 0).decode("ascii", errors="replace").strip().partition(" ")
    except OSError as error:
        raise storage_error(error, CURRENT) from error
    finally:
        fs.close(fd)
    parsed = parse_file_name(name)
    named = parsed is not None and parsed[0] is FileKind.MANIFEST and check == f"{crc32(name.encode()):08x}"
    return parsed[1] if parsed is not None and named else None


def _numbers(names: list[str], kind: FileKind) -> list[int]:
    return sorted(number for found, number in filter(None, map(parse_file_name, names)) if found is kind)
