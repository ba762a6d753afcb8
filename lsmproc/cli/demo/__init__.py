"""``lsmproc demo``: the engine at work on real input, step by step, with a kill -9 in the middle.

Two parts. The walk goes through the engine by hand, with a few records and tiny tables. The load puts every line of
real files into a store that a child process owns, kills that process, opens the store again, compares every record
with the files, finishes the load, and compares and verifies everything. Whatever does not hold makes the exit code 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError
from lsmproc.cli.termination import terminated_like_interrupted

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc demo                                in a temporary directory, with the standard library's sources
lsmproc demo --dir /tmp/demo                keep the stores, to look at them afterwards
lsmproc demo --input /var/log/*.log         with the lines of your own files
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "demo",
        run,
        summary="watch the engine work on real input, lose its process, and lose nothing",
        details="First a walk with a few records: put, get, delete, flush, overlapping updates, compaction, range.\n"
        "Then a load of every line of real files, by a process that is killed with SIGKILL in the middle; every\n"
        "record that it had acknowledged is compared with the files. Exit code 1 if anything does not hold.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--input",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="files whose lines to load; default: the sources of Python's standard library",
    )
    parser.add_argument("--dir", metavar="DIR", help="an empty directory to use and keep; default: a temporary one")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="decides the order of files and the kill")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    # The parts import the engine, which is not needed to print help.
    from lsmproc.cli.demo.input_lines import chosen_files, standard_library_files  # noqa: PLC0415
    from lsmproc.cli.demo.load_and_kill import load_and_kill  # noqa: PLC0415
    from lsmproc.cli.demo.narrator import Narrator  # noqa: PLC0415
    from lsmproc.cli.demo.walk import walk  # noqa: PLC0415

    files = chosen_files(arguments.input) if arguments.input else standard_library_files()
    narrator = Narrator(sys.stdout)
    with terminated_like_interrupted(), _directory(arguments.dir) as directory:
        walk(os.path.join(directory, "walk"), narrator)
        load_and_kill(os.path.join(directory, "load"), files, arguments.seed, narrator)
        narrator.conclude()
        if arguments.dir is not None:
            narrator.say(f"\nThe stores are kept: lsmproc stats {os.path.join(arguments.dir, 'load')} --files")
    return NEGATIVE if narrator.failures else FINE


@contextmanager
def _directory(given: str | None) -> Iterator[str]:
    if given is None:
        directory = tempfile.mkdtemp(prefix="lsmproc-demo-")
        try:
            yield directory
        finally:
            shutil.rmtree(directory)
        return
    os.makedirs(given, exist_ok=True)
    if os.listdir(given):
        raise CannotError(f"{given} is not empty; give the demo a directory of its own")
    yield os.path.abspath(given)
