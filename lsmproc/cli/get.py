"""``lsmproc get``: print the value of one key."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE, NEGATIVE
from lsmproc.cli.record_text import given_bytes, json_field, shown
from lsmproc.cli.store_access import open_to_look

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.reading.read_view import Entry

_EXAMPLES = """
lsmproc get /tmp/store user:1
lsmproc get /tmp/store user:1 --json        with its sequence number and where it was found
lsmproc get /tmp/store logo --raw > logo.png
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "get",
        run,
        summary="print the value of a key",
        details="Exit code 1 if there is none.\n"
        "A store that is open elsewhere is read as its owner has written it by now.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("key", metavar="KEY")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", help="print the value's bytes as they are, and nothing else")
    add_json(output, "one JSON object")
    add_text_form(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    key = given_bytes(arguments.key, hexadecimal=arguments.hex)
    with open_to_look(arguments) as store:
        entry = store.get_with_meta(key)
    if arguments.json:
        print(json.dumps(_as_json(key, entry, hexadecimal=arguments.hex), ensure_ascii=False))
    elif entry is None:
        print(f"lsmproc: no key {shown(key, hexadecimal=arguments.hex)}", file=sys.stderr)
    elif arguments.raw:
        sys.stdout.buffer.write(entry.value)
    else:
        sys.stdout.buffer.write(shown(entry.value, hexadecimal=arguments.hex).encode() + b"\n")
    return NEGATIVE if entry is None else FINE


def _as_json(key: bytes, entry: Entry | None, *, hexadecimal: bool) -> dict[str, object]:
    found: dict[str, object] = dict([json_field("key", key, hexadecimal=hexadecimal)])
    found["found"] = entry is not None
    if entry is not None:
        found |= dict([json_field("value", entry.value, hexadecimal=hexadecimal)])
        found |= {"sequence": entry.sequence, "source": entry.source, "level": entry.level}
        found |= {"file_number": entry.file_number, "probes": entry.probes}
    return found
