"""``lsmproc put``: set one key."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.record_text import given_bytes
from lsmproc.cli.store_access import open_to_write

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc put /tmp/store user:1 alice
lsmproc put /tmp/store --hex 00ff 68656c6c6f
lsmproc put /tmp/store logo --file logo.png --sync
lsmproc put /tmp/store -- -key -value        what begins with a dash comes after --
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "put",
        run,
        summary="set a key to a value",
        details="Makes the store if it is not there.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("value", metavar="VALUE", nargs="?")
    parser.add_argument("--file", metavar="FILE", help="take the value from a file, byte for byte; - is stdin")
    parser.add_argument("--sync", action="store_true", help="return only when the write survives a power cut")
    add_text_form(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.value is None and arguments.file is None:
        raise CannotError("a value is missing: give VALUE or --file FILE")
    if arguments.value is not None and arguments.file is not None:
        raise CannotError("VALUE and --file FILE both say what the value is: give one, not both")
    key = given_bytes(arguments.key, hexadecimal=arguments.hex)
    value = (
        _file_bytes(arguments.file)
        if arguments.file is not None
        else given_bytes(arguments.value, hexadecimal=arguments.hex)
    )
    with open_to_write(arguments, create=True) as store:
        store.put(key, value, sync=arguments.sync or None)
    return FINE


def _file_bytes(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    with open(name, "rb") as file:
        return file.read()
