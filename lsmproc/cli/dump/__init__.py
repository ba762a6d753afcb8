"""``lsmproc dump``: records as lines for ``lsmproc load``, or what single files of a store hold, byte for byte.

The files are opened for reading only, without the lock and without the rest of the store: it may be dead, or a copy.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command
from lsmproc.cli.dump import manifest, records, sst, wal
from lsmproc.cli.exit_codes import CannotError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc dump records /tmp/store > all.jsonl
lsmproc dump wal /tmp/store --summary
lsmproc dump sst /tmp/store/000013.sst --records --hex
lsmproc dump manifest /tmp/store
"""


def add_to(commands: Commands) -> None:
    """Declare the command, and under it one for each of what it dumps."""
    parser = add_command(
        commands,
        "dump",
        _refuse,
        summary="write records as JSON lines, or show what a log, a table or a manifest holds",
        details="lsmproc dump WHAT --help tells more of each.",
        examples=_EXAMPLES,
    )
    kinds = parser.add_subparsers(title="what to dump", metavar="WHAT")
    for kind in (records, wal, sst, manifest):
        kind.add_to(kinds)


def _refuse(_: argparse.Namespace) -> int:
    raise CannotError("say what to dump: records, wal, sst or manifest; lsmproc dump --help tells more")
