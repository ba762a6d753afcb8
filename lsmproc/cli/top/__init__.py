"""``lsmproc top``: what a store is doing, again and again, from its page STATUS."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, seconds
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc top /tmp/store
lsmproc top /tmp/store --once
lsmproc top /tmp/store --once --json
"""
_SHORTEST_SECONDS = 0.05


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "top",
        run,
        summary="show what a store is doing: levels, workers, stalls, rates, events",
        details="Reads the page that the owner of an open store rewrites about once a second, and takes no lock. Of a\n"
        "store whose owner died or closed it, the last state is shown, and said to be that; with --once the\n"
        "exit code is 1 then. q or Ctrl-C ends it. Stores with background='inline' write no page.",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    parser.add_argument("--once", action="store_true", help="show it once and exit")
    add_json(parser, "one JSON object (with --once), or one in each line")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=seconds, default=0.5, help="look again after so long (default 0.5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.cli.top.screen import open_screen  # noqa: PLC0415 - not needed to print help
    from lsmproc.cli.top.view import view_of  # noqa: PLC0415 - not needed to print help
    from lsmproc.monitoring.store_status import read_status  # noqa: PLC0415 - not needed to print help

    if arguments.interval < _SHORTEST_SECONDS:
        raise CannotError(f"--interval {arguments.interval:g}: the shortest is {_SHORTEST_SECONDS} seconds")
    status = read_status(arguments.path)
    if arguments.once and arguments.json:
        print(json.dumps(status.to_json_dict()))
    else:
        with open_screen(sys.stdout, once=arguments.once) as screen:
            while True:
                if arguments.json:
                    print(json.dumps(status.to_json_dict()), flush=True)
                else:
                    screen.show(view_of(status, screen.width))
                if arguments.once or screen.wait(arguments.interval):
                    break
                status = read_status(arguments.path)
    return FINE if not arguments.once or status.owner in {"running", "silent"} else NEGATIVE
