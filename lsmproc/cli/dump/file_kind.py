"""What a file is, by its name or else by its first bytes: whoever names the wrong one is told which dump reads it."""

from __future__ import annotations

import os

from lsmproc.cli.exit_codes import CannotError
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import CURRENT, EVENT_LOG, LOCK, OPTIONS, STATUS, FileKind, parse_file_name
from lsmproc.formats.log_format import HEADER_SIZE, KIND_MANIFEST, KIND_WAL, decode_header

_WORDS = {FileKind.WAL: "a log segment", FileKind.TABLE: "a table", FileKind.MANIFEST: "a manifest"}
_TEXTS = {
    CURRENT: "names the live manifest: lsmproc dump manifest shows that",
    LOCK: "is the lock of a store, and text for its messages",
    OPTIONS: "is the record of a store's options: lsmproc config show takes it, and so does cat",
    EVENT_LOG: "is the event log of a store, JSON lines: cat shows it",
    STATUS: "holds the last figures of a store",
}


def check_kind(path: str, wanted: FileKind) -> None:
    """Raise CannotError if the file at ``path`` is known to be of another kind than ``wanted``."""
    name = os.path.basename(path)
    if not os.path.isfile(path) or ((parsed := parse_file_name(name)) is not None and parsed[0] is wanted):
        return
    if name in _TEXTS:
        raise CannotError(f"{path} {_TEXTS[name]}")
    kind = parsed[0] if parsed is not None else _kind_of_content(path)
    if kind is not None and kind is not wanted:
        raise CannotError(f"{path} is {_WORDS[kind]}, not {_WORDS[wanted]}: lsmproc dump {kind.value} shows it")


def live_manifest(path: str) -> str:
    """The path of the manifest that the file CURRENT at ``path`` names. Raises CannotError if it names none."""
    with open(path, "rb") as file:
        text = file.read(100).decode(errors="backslashreplace")
    name = text.partition(" ")[0].strip()
    parsed = parse_file_name(name)
    if parsed is None or parsed[0] is not FileKind.MANIFEST:
        raise CannotError(f"{path} says {text.strip()!r}, which names no manifest; name one of its MANIFEST- files")
    return os.path.join(os.path.dirname(path), name)


def _kind_of_content(path: str) -> FileKind | None:
    with open(path, "rb") as file:
        start = file.read(HEADER_SIZE)
    try:
        header = decode_header(start, path)
    except CorruptionError:
        return None
    return {KIND_WAL: FileKind.WAL, KIND_MANIFEST: FileKind.MANIFEST}.get(header.kind)
