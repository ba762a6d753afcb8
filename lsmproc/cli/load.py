"""``lsmproc load``: put the records of JSON lines or TSV."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_store
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.progress import Progress
from lsmproc.cli.record_text import bytes_of_json, bytes_of_tsv
from lsmproc.cli.store_access import open_to_write

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.store import LSMStore

_EXAMPLES = """
lsmproc load /tmp/store records.jsonl more.tsv
zcat records.jsonl.gz | lsmproc load /tmp/store --profile bulk-load
printf 'user:1\\talice\\n' | lsmproc load /tmp/store --format tsv
"""
_BATCH_RECORDS = 500
_FORM = 'a line looks like {"key": "user:1", "value": "alice"}'


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "load",
        run,
        summary="put the records of JSON lines or TSV",
        details='JSON lines: {"key": "user:1", "value": "alice"}, also "key_hex", "key_base64", "value_hex"...\n'
        "TSV: key, tab, value, with \\t \\n \\r \\\\ as escapes. Makes the store if it is not there. A line that\n"
        "cannot be read ends the load; the lines before it are in the store.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("files", metavar="FILE", nargs="*", default=["-"], help="default: -, which is stdin")
    parser.add_argument("--format", choices=("jsonl", "tsv"), help="default: tsv for files named so, jsonl for others")
    add_json(parser, "what was loaded as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    records = size = 0
    with open_to_write(arguments, create=True) as store, Progress("loaded", "records") as progress:
        for name in arguments.files:
            tsv = (arguments.format or ("tsv" if name.endswith(".tsv") else "jsonl")) == "tsv"
            with _input(name) as file:
                for count, written in _load_lines(store, name, file, tsv=tsv):
                    records += count
                    size += written
                    progress.update(records)
    if arguments.json:
        print(json.dumps({"records": records, "bytes": size}))
    else:
        print(f"{records:,} records, {size:,} bytes of keys and values")
    return FINE


@contextmanager
def _input(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
    else:
        with open(name, "rb") as file:
            yield file


def _load_lines(store: LSMStore, name: str, file: IO[bytes], *, tsv: bool) -> Iterator[tuple[int, int]]:
    """Put the records of a file batch by batch; yields the records and bytes of each batch once it is committed."""
    lines = enumerate(file, 1)
    parse = _tsv_record if tsv else _json_record
    while some := list(islice(lines, _BATCH_RECORDS)):
        error: CannotError | None = None
        count = size = 0
        with store.write_batch() as batch:
            for number, line in some:
                if not line.strip(b"\r\n"):
                    continue
                try:
                    key, value = parse(line)
                    batch.put(key, value)
                except (ValueError, RecursionError) as problem:
                    place = "stdin" if name == "-" else os.path.relpath(name)
                    error = CannotError(f"{place}:{number}: {problem}; the lines before it are in the store")
                    break
                count += 1
                size += len(key) + len(value)
        yield count, size
        if error is not None:
            raise error


def _json_record(line: bytes) -> tuple[bytes, bytes]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        form = "; TSV is read with --format tsv" if b"\t" in line else ""
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}): {_FORM}{form}") from None
    except UnicodeDecodeError:
        raise ValueError(f"not JSON (not utf-8): {_FORM}") from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object is needed: {_FORM}")  # noqa: TRY004 - the caller adds the line to ValueErrors
    return bytes_of_json(record, "key"), bytes_of_json(record, "value")


def _tsv_record(line: bytes) -> tuple[bytes, bytes]:
    key, tab, value = line.removesuffix(b"\n").partition(b"\t")
    if not tab or b"\t" in value:
        raise ValueError("a key, one tab and a value are needed")
    return bytes_of_tsv(key), bytes_of_tsv(value)
