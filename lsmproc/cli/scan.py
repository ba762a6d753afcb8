"""``lsmproc scan``: print the records of a range."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_range, add_store, add_text_form, count
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.record_text import given_bound, json_field, shown
from lsmproc.cli.store_access import open_to_look

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.follower.follower import Follower
    from lsmproc.store import LSMStore

_EXAMPLES = """
lsmproc scan /tmp/store --prefix user: --limit 10
lsmproc scan /tmp/store --start a --stop b --reverse --keys-only
lsmproc scan /tmp/store --json | jq -r .key
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "scan",
        run,
        summary="print the records of a range in key order",
        details="One record a line: key, tab, value. For exact bytes take --hex, --json or the command dump.\n"
        "A store that is open elsewhere is read as its owner has written it by now.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    add_range(parser)
    parser.add_argument("--reverse", action="store_true", help="from the last key to the first")
    parser.add_argument("--limit", metavar="N", type=count, help="at most N records")
    parser.add_argument("--keys-only", action="store_true", help="leave the values out")
    add_text_form(parser)
    add_json(parser, "one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    write = sys.stdout.buffer.write
    with open_to_look(arguments) as store:
        records = islice(selected(store, arguments, reverse=arguments.reverse), arguments.limit)
        for key, value in records:
            write(_line(key, None if arguments.keys_only else value, arguments) + b"\n")
        sys.stdout.buffer.flush()
    return FINE


def selected(
    store: LSMStore | Follower, arguments: argparse.Namespace, *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """The records that --start, --stop and --prefix select. They are not worth a place in the block cache."""
    start, stop, prefix = (
        given_bound(text, hexadecimal=arguments.hex) for text in (arguments.start, arguments.stop, arguments.prefix)
    )
    if prefix is not None and (start is not None or stop is not None):
        raise CannotError("--prefix does not go with --start or --stop")
    return store.range(start, stop, prefix=prefix, reverse=reverse, fill_cache=False)


def _line(key: bytes, value: bytes | None, arguments: argparse.Namespace) -> bytes:
    columns = (("key", key), ("value", value))
    present = [(name, data) for name, data in columns if data is not None]
    if arguments.json:
        fields = dict(json_field(name, data, hexadecimal=arguments.hex) for name, data in present)
        return json.dumps(fields, ensure_ascii=False).encode()
    return "\t".join(shown(data, hexadecimal=arguments.hex) for _, data in present).encode()
