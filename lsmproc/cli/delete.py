"""``lsmproc delete``: remove one key."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE
from lsmproc.cli.record_text import given_bytes
from lsmproc.cli.store_access import open_to_write

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc delete /tmp/store user:1
lsmproc delete /tmp/store --hex 00ff --sync
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "delete",
        run,
        summary="remove a key from a store that exists",
        details="No error if the key is not there; an error (exit code 2) if the store is not.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--sync", action="store_true", help="return only when the removal survives a power cut")
    add_text_form(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    key = given_bytes(arguments.key, hexadecimal=arguments.hex)
    with open_to_write(arguments, create=False) as store:
        store.delete(key, sync=arguments.sync or None)
    return FINE
