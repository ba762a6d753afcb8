"""The one place that makes and parses the names of a store's files.

::

    LOCK                 held by the owner process
    CURRENT              names the live manifest
    MANIFEST-000007      the version edits
    000012.wal           one segment of the write-ahead log
    000013.sst           one table
    tmp/3-17-1-0.sst     output of a background job (epoch, job, attempt, output) until the owner renames it
    STATUS               live figures
    LOG, LOG.old.1       events; the higher its number, the older an old log is
    OPTIONS              the settings that the store was opened with last

A file number is used once, ever, across all kinds, so a name never means two different files.
"""

from __future__ import annotations

import re
from enum import Enum

LOCK = "LOCK"
CURRENT = "CURRENT"
STATUS = "STATUS"
EVENT_LOG = "LOG"
OPTIONS = "OPTIONS"
TMP_DIRECTORY = "tmp"
MAX_OLD_EVENT_LOGS = 16

_OLD_EVENT_LOGS = tuple(f"{EVENT_LOG}.old.{number}" for number in range(1, MAX_OLD_EVENT_LOGS + 1))

# What stands in a store's directory besides numbered files. mkfs makes the last one, where the directory is a mount.
UNNUMBERED_NAMES = frozenset({LOCK, CURRENT, STATUS, EVENT_LOG, *_OLD_EVENT_LOGS, OPTIONS, TMP_DIRECTORY, "lost+found"})


class FileKind(Enum):
    """What a file of the store's directory is."""

    WAL = "wal"
    TABLE = "sst"
    MANIFEST = "manifest"


_NUMBERS = 1 << 63  # of files: none of them, nor the next one, may outgrow its 64 bits in a header

_NUMBERED = re.compile(r"([0-9]{6,20})\.(wal|sst)", re.ASCII)
_JOB_OUTPUT = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)-[0-9]+\.sst", re.ASCII)
_MANIFEST = re.compile(r"MANIFEST-([0-9]{6,20})", re.ASCII)


def wal_name(number: int) -> str:
    """Name of the log segment ``number``."""
    return f"{number:06d}.wal"


def table_name(number: int) -> str:
    """Name of the table ``number``."""
    return f"{number:06d}.sst"


def old_event_log_name(age: int) -> str:
    """Name of the event log that was LOG before the last ``age`` rotations, 1 to MAX_OLD_EVENT_LOGS."""
    return _OLD_EVENT_LOGS[age - 1]


def manifest_name(number: int) -> str:
    """Name of the manifest ``number``."""
    return f"MANIFEST-{number:06d}"


def job_output_name(epoch: int, job: int, attempt: int, output: int) -> str:
    """Temporary name of one output of one attempt at a background job."""
    return f"{TMP_DIRECTORY}/{epoch}-{job}-{attempt}-{output}.sst"


def job_of_output(name: str) -> tuple[int, int, int] | None:
    """Epoch, job and attempt of the name of a file in tmp/, or None for another file."""
    match = _JOB_OUTPUT.fullmatch(name)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def parse_file_name(name: str) -> tuple[FileKind, int] | None:
    """Kind and number of a numbered file, or None for any other name."""
    if match := _NUMBERED.fullmatch(name):
        number = int(match[1])
        kind = FileKind(match[2])
        canonical = wal_name(number) if kind is FileKind.WAL else table_name(number)
    elif match := _MANIFEST.fullmatch(name):
        number = int(match[1])
        kind = FileKind.MANIFEST
        canonical = manifest_name(number)
    else:
        return None
    return (kind, number) if name == canonical and number < _NUMBERS else None
