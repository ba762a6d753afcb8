"""What an owner tells of its store: every record, what cannot be read, who works, which files nothing names."""

from __future__ import annotations

import threading
import time
from typing import Any

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import TMP_DIRECTORY, FileKind, manifest_name, parse_file_name
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.manifest import read_manifest
from lsmproc.store import LSMStore
from lsmproc.stress.operations import LoadShape, keys_of

_ORPHAN_GRACE_SECONDS = 5.0


def dump(db: LSMStore, shape: LoadShape) -> dict[str, Any]:
    """Everything the store holds, by scan and by point reads, which must agree."""
    scanned = list(db.range())
    records = []
    differing = []
    values = dict(scanned)
    for key in sorted(values.keys() | set(keys_of(shape))):
        entry = db.get_with_meta(key)
        if (None if entry is None else entry.value) != values.get(key) or db.get(key) != values.get(key):
            differing.append(key)
        if key in values:
            records.append((key, values[key], 0 if entry is None else entry.sequence))
    if scanned[::-1] != list(db.range(reverse=True)):
        differing.append(b"(the reverse scan as a whole)")
    return {"records": records, "differing": differing}


def survey(db: LSMStore, shape: LoadShape) -> dict[str, Any]:
    """What can be read of a damaged store: records, keys that raise, the files that the errors name."""
    records = []
    unreadable = []
    files: set[str] = set()
    for key in keys_of(shape):
        try:
            value = db.get(key)
        except CorruptionError as error:
            unreadable.append(key)
            files.add(str(error.file))
        else:
            if value is not None:
                records.append((key, value))
    differing = []
    try:
        scanned = list(db.range())
    except CorruptionError as error:
        files.add(str(error.file))
    else:
        read = dict(records)
        differing = [key for key, value in scanned if key not in unreadable and read.get(key) != value]
        differing += [] if unreadable else sorted(read.keys() - dict(scanned).keys())
    return {"records": records, "unreadable": unreadable, "files": sorted(files), "differing": differing}


def workers(db: LSMStore) -> dict[str, Any]:
    """Who works, and whether background work goes on."""
    stats = db.stats()
    found = [
        {"name": each.name, "kind": each.kind, "pid": each.pid, "state": each.state, "job": each.job,
         "jobs_done": each.jobs_done}
        for each in stats.workers
    ]  # fmt: skip
    return {"workers": found, "failed_jobs": stats.failed_jobs, "background_error": stats.background_error}


def sealed(db: LSMStore) -> list[tuple[int, int]]:
    """Number and end of the log segments of memtables that wait for their flush, oldest first."""
    immutables = db._write_path.view.immutables  # noqa: SLF001 - no public call shows segments
    return [(segment.number, segment.end) for each in reversed(immutables) for segment in each.segments]


def usable(db: LSMStore) -> bool:
    """Whether the store takes writes; if not, it must be opened again."""
    return db._write_path.usable  # noqa: SLF001 - callers of the store learn it by writing


def orphans(path: str) -> list[str]:
    """Files that the manifest does not account for. A file on its way in or out is looked at again for a while."""
    deadline = time.monotonic() + _ORPHAN_GRACE_SECONDS
    fs = PosixFileSystem(path)
    try:
        while True:
            found = _unaccounted(fs)
            if not found or time.monotonic() >= deadline:
                return found
            threading.Event().wait(0.01)
    finally:
        fs.shut()


def _unaccounted(fs: PosixFileSystem) -> list[str]:
    manifest = read_manifest(fs)
    version = manifest.version
    tables = {file.number for _, file in version.files()}
    found = []
    for name in fs.list_directory():
        match parse_file_name(name):
            case (FileKind.TABLE, number) if number not in tables:
                found.append(name)
            case (FileKind.WAL, number) if number < version.log_number:
                found.append(name)
            case (FileKind.MANIFEST, number) if number != manifest.number:
                found.append(f"{name} (CURRENT names {manifest_name(manifest.number)})")
    # What a job of this owner is writing is no orphan; what an older epoch left is.
    written = (name for name in fs.list_directory(TMP_DIRECTORY) if name.partition("-")[0] != str(version.epoch))
    return found + [f"{TMP_DIRECTORY}/{name}" for name in written]
