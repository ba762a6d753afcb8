"""What the dumps of single files share: their options, and rows that are printed as text or as JSON lines.

A dump is a stream of rows, each a dict with its kind under "row". As text, rows of the same kind that follow each
other are lines of one table; "summary" and "note" are sentences. JSON lines hold the same rows, complete.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lsmproc.cli.argument_groups import add_command, add_json, add_text_form, count
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError
from lsmproc.cli.record_text import json_field, shown
from lsmproc.errors import NotAStoreError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

Row = dict[str, Any]
_KEY_CHARACTERS = 40
_NOT_FOR_THE_EYE = {"row", "file"}


def add_file_dump(
    kinds: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    what: str,
    target: str,
    items: str,
    details: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Declare one dump of files, with the options that all of them have."""
    parser = add_command(kinds, name, run, summary=f"show what {what} holds", details=details, examples=examples)
    parser.set_defaults(command=f"dump {name}")
    parser.add_argument("path", metavar=target, help=f"the file; {_directory_help(target)}")
    parser.add_argument("--limit", metavar="N", type=count, help=f"show only the first N {items}; all are checked")
    parser.add_argument("--summary", action="store_true", help=f"show no {items}")
    add_text_form(parser)
    add_json(parser, "JSON lines: one object for each row")
    return parser


def print_rows(arguments: argparse.Namespace, rows: Iterable[Row], limited: set[str]) -> int:
    """Print what the options ask for; rows of the kinds ``limited`` are counted. The exit code: 1 for damage."""
    left = 0 if arguments.summary else arguments.limit
    damaged = False
    kind = ""
    for row in rows:
        damaged = damaged or bool(row.pop("damaged", False))
        if row["row"] in limited:
            if left == 0:
                continue
            left = None if left is None else left - 1
        if arguments.json:
            print(json.dumps(_as_json(row, hexadecimal=arguments.hex)))
            continue
        if row["row"] == "note":
            print(f"note: {row['text']}")
        elif row["row"] in limited:
            if kind != row["row"]:
                print(_line(row, heading=True, hexadecimal=arguments.hex))
            print(_line(row, heading=False, hexadecimal=arguments.hex))
        else:
            print(_sentence(row, hexadecimal=arguments.hex))
        kind = row["row"]
    return NEGATIVE if damaged else FINE


def files_of(path: str, wanted: Callable[[str], bool], what: str) -> Iterator[tuple[str, str]]:
    """Directory and name of the file at ``path``, or of all wanted ones in the directory ``path``, in order."""
    if os.path.isdir(path):
        directory = os.path.realpath(path)
        names = sorted(filter(wanted, os.listdir(directory)), key=lambda name: (len(name), name))
        if not names:
            raise NotAStoreError(f"there is no {what} in {directory}")
        yield from ((directory, name) for name in names)
    elif os.path.isfile(path):
        yield os.path.split(os.path.realpath(path))
    else:
        raise CannotError(f"{path}: there is no such file")


def note_of_owner(directory: str) -> Iterator[Row]:
    """A row that says so if an owner has the store open."""
    from lsmproc.storage.lock_holder import lock_is_held  # noqa: PLC0415 - the engine is not needed to print help

    if lock_is_held(directory):
        yield {"row": "note", "text": f"{directory} is open: its owner may be changing what is shown here"}


def _directory_help(target: str) -> str:
    return "or the directory of the store, for all of them" if "PATH" in target else "no other file is needed"


def _as_json(row: Row, *, hexadecimal: bool) -> Row:
    fields: Row = {}
    for name, value in row.items():
        if isinstance(value, bytes):
            fields |= [json_field(name, value, hexadecimal=hexadecimal)]
        elif isinstance(value, list):
            fields[name] = [
                _as_json(item, hexadecimal=hexadecimal) if isinstance(item, dict) else item for item in value
            ]
        else:
            fields[name] = value
    return fields


def _line(row: Row, *, heading: bool, hexadecimal: bool) -> str:
    cells = []
    for name, value in row.items():
        if name in _NOT_FOR_THE_EYE:
            continue
        text = name.replace("_", " ") if heading else _shown(value, hexadecimal=hexadecimal)
        width = _WIDTHS.get(name, 0)
        cells.append(text.rjust(width) if name in _NUMBERS else text.ljust(width))
    return "  ".join(cells).rstrip()


_NUMBERS = {"offset", "bytes", "raw_bytes", "records", "sequence", "index"}
_WIDTHS = {"offset": 11, "bytes": 9, "raw_bytes": 9, "records": 7, "sequence": 20, "index": 6, "kind": 7, "codec": 5}


def _sentence(row: Row, *, hexadecimal: bool) -> str:
    fields = [
        f"{name.replace('_', ' ')} {_shown(value, hexadecimal=hexadecimal)}"
        for name, value in row.items()
        if name != "row" and value is not None
    ]
    return f"{row['row']}: {', '.join(fields)}"


def _shown(value: object, *, hexadecimal: bool) -> str:
    if isinstance(value, bytes):
        text = shown(value, hexadecimal=hexadecimal)
        return text if len(text) <= _KEY_CHARACTERS else f"{text[:_KEY_CHARACTERS]}... ({len(value):,} bytes)"
    if isinstance(value, list):
        return "; ".join(_shown(item, hexadecimal=hexadecimal) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name} {_shown(item, hexadecimal=hexadecimal)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
