"""``lsmproc dump records``: write records as lines that ``lsmproc load`` reads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_range, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.progress import Progress
from lsmproc.cli.record_text import json_field, tsv_field
from lsmproc.cli.scan import selected
from lsmproc.cli.store_access import open_to_read

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc dump records /tmp/store > all.jsonl
lsmproc dump records /tmp/store --prefix user: --output users.tsv
lsmproc dump records /tmp/store | lsmproc load /tmp/copy
"""
_RECORDS_PER_WRITE = 500


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "records",
        run,
        summary="write records as JSON lines or TSV, for lsmproc load",
        details='Exact for any bytes: what is not UTF-8 is "key_base64" or "value_base64" in JSON; TSV holds the\n'
        "bytes themselves, with \\t \\n \\r \\\\ for tab, line feed, carriage return and backslash.",
        examples=_EXAMPLES,
    )
    parser.set_defaults(command="dump records")
    add_store(parser)
    add_range(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=("jsonl", "tsv"), help="default: tsv for an --output named so, or else jsonl")
    parser.add_argument("--output", metavar="FILE", help="write to this file, which must not exist; default: stdout")
    add_text_form(parser)
    add_json(form, "JSON lines, as --format jsonl does")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    tsv = _format(arguments) == "tsv"
    if tsv and arguments.hex:
        raise CannotError("--hex is for JSON lines: TSV holds the bytes themselves; leave --hex out or take --json")
    line = _tsv_line if tsv else _json_line(hexadecimal=arguments.hex)
    count = 0
    with open_to_read(arguments) as store:
        records = selected(store, arguments)  # before the output is made: it refuses what contradicts itself
        with _output(arguments.output) as output, Progress("dumped", "records") as progress:
            while some := list(islice(records, _RECORDS_PER_WRITE)):
                output.write(b"".join(line(key, value) for key, value in some))
                count += len(some)
                progress.update(count)
            output.flush()
    return FINE


def _format(arguments: argparse.Namespace) -> str:
    """As given, or else as load will take the file by its name."""
    if arguments.format is not None:
        return str(arguments.format)
    return "tsv" if not arguments.json and (arguments.output or "").endswith(".tsv") else "jsonl"


@contextmanager
def _output(name: str | None) -> Iterator[IO[bytes]]:
    if name is None:
        yield sys.stdout.buffer
    else:
        with open(name, "xb") as file:
            yield file


def _tsv_line(key: bytes, value: bytes) -> bytes:
    return b"%b\t%b\n" % (tsv_field(key), tsv_field(value))


def _json_line(*, hexadecimal: bool) -> Callable[[bytes, bytes], bytes]:
    def line(key: bytes, value: bytes) -> bytes:
        fields = (json_field(name, data, hexadecimal=hexadecimal) for name, data in (("key", key), ("value", value)))
        return json.dumps(dict(fields), ensure_ascii=False).encode() + b"\n"

    return line
