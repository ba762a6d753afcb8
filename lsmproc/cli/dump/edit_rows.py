"""The rows of a manifest: its edits as frames, and the tables that are live after them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lsmproc.cli.dump.file_rows import Row
from lsmproc.cli.dump.log_rows import keys_row, log_rows
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import CURRENT, table_name, wal_name
from lsmproc.formats.log_format import KIND_MANIFEST
from lsmproc.formats.version_edit import FileMetadata, VersionEdit, decode_version_edit
from lsmproc.repair.frame_view import FrameView, value_of
from lsmproc.storage.version import Version


def current_row(directory: str) -> Iterator[Row]:
    """What CURRENT says, if it is there."""
    path = os.path.join(directory, CURRENT)
    try:
        with open(path, "rb") as file:
            text = file.read(100)
    except FileNotFoundError:
        yield {"row": "note", "text": f"there is no {CURRENT} in {directory}"}
    else:
        yield {"row": "note", "text": f"CURRENT says {text.decode(errors='backslashreplace').strip()}"}


def manifest_rows(directory: str, name: str) -> Iterator[Row]:
    """Header, edits and summary of one manifest, then its live tables."""
    version: Version | None = Version()
    problem: str | None = None
    edits = 0

    def describe(data: bytes, frame: FrameView) -> Row:
        nonlocal version, problem, edits
        if frame.kind != "put":
            return keys_row(data, frame)
        try:
            edit = decode_version_edit(value_of(data, frame))
        except CorruptionError as error:
            return {"problem": str(error)}
        edits += 1
        if version is not None:
            try:
                version = version.apply(edit)
            except CorruptionError as error:
                version, problem = None, str(error)
        return _edit_row(edit)

    for row in log_rows(directory, name, KIND_MANIFEST, describe):
        if row["row"] == "frame" and row["crc"] == "bad":
            row.pop("added", None)  # Nothing of it can be trusted.
        if row["row"] == "summary":
            row |= {"edits": edits, "tables": None if version is None else len(version.files()), "misfit": problem}
            row["damaged"] = row["damaged"] or problem is not None
        yield row
    if version is not None:
        yield from (_table_row(level, file) for level, file in version.files())


def _edit_row(edit: VersionEdit) -> Row:
    return {
        "added": [f"L{level}:{table_name(file.number)}" for level, file in edit.added],
        "removed": [f"L{level}:{table_name(number)}" for level, number in edit.removed],
        "log_number": edit.log_number,
        "next_file_number": edit.next_file_number,
        "last_sequence": edit.last_sequence,
        "epoch": edit.epoch,
        "segments": None if edit.segments is None else [f"{wal_name(n)}@{end}" for n, end in edit.segments],
    }


def _table_row(level: int, file: FileMetadata) -> Row:
    return {
        "row": "table",
        "level": level,
        "name": table_name(file.number),
        "bytes": file.size,
        "records": file.entries,
        "tombstones": file.tombstones,
        "smallest": file.smallest,
        "largest": file.largest,
        "smallest_sequence": file.smallest_sequence,
        "largest_sequence": file.largest_sequence,
        "unique_id": f"{file.unique_id:016x}",
        "checksum": f"{file.checksum:016x}",
    }
