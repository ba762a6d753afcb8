"""``lsmproc bench``: measure this store and others side by side, on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc bench --num 100k --only fill
lsmproc bench --num 1M --reads 200k --json small.json --html small.html
lsmproc bench --num 1M --reads 200k --json small.json --html small.html --resume
lsmproc bench --show small.json --against older.json
lsmproc bench --config app.toml --config tuned.toml --only read
lsmproc bench sizes --counts 100k,1M --html sizes.html
lsmproc bench micro --only tables
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    from lsmproc.bench import options, systems  # noqa: PLC0415 - names only; in one place with what reads them

    parser = add_command(
        commands,
        "bench",
        run,
        summary="measure this store and others side by side",
        details="Each system runs in processes of its own, in turn, several rounds. Peers are plyvel, rocksdict, lmdb\n"
        f"and sqlite3: {systems.EXTRA}. Exit code 0: it was measured, whatever came out; 1: a session failed.",
        examples=_EXAMPLES,
    )
    options.add_to(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.bench.command_line import run as run_bench  # noqa: PLC0415 - help needs no engine

    return run_bench(arguments)
