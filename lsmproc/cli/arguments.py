"""The parser of the whole command line.

No module of the engine is imported here, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

from lsmproc.cli import (
    bench,
    config,
    delete,
    demo,
    doctor,
    dump,
    get,
    info,
    load,
    maintenance,
    put,
    repair,
    scan,
    serve_metrics,
    shell,
    stats,
    stress,
    top,
    tune,
    verify,
    why,
)
from lsmproc.cli.exit_codes import DESCRIPTION

_EPILOG = f"""\
examples:
  lsmproc demo                                  watch the engine work, lose its process, and lose nothing
  lsmproc put  /tmp/store user:1 alice          make a store and write to it
  lsmproc get  /tmp/store user:1
  lsmproc scan /tmp/store --prefix user: --json
  lsmproc dump records /tmp/store | lsmproc load /tmp/copy
  lsmproc checkpoint /tmp/store /tmp/monday     a copy in a moment, out of hard links
  lsmproc top /tmp/store                        watch an open store: levels, workers, stalls, events
  lsmproc why /tmp/store                        are writes stalled, by what, and what to change
  lsmproc tune /tmp/store                       which settings to change, by what it has done
  lsmproc verify /tmp/store                     read every checksum, change nothing
  lsmproc repair /tmp/store --into /tmp/new     a new store from all that is sound
  lsmproc doctor /tmp/store                     is the machine fit for a store there
  lsmproc config show /tmp/store --changed      its settings, and where each comes from
  lsmproc bench --num 100k --only read          how fast it is here, beside others

{DESCRIPTION}
"lsmproc COMMAND --help" tells more. Progress and colours appear on a terminal only; NO_COLOR=1 turns colours off.
"""

_COMMANDS = (
    *(demo, put, get, delete, scan, shell, load, dump, dump.wal, dump.sst, dump.manifest),
    *(info, stats, top, why, tune, serve_metrics, maintenance, verify, repair, doctor, config, stress, bench),
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; the function of the chosen command is ``run`` of the result."""
    parser = _Parser(
        prog="lsmproc",
        description="An embeddable key-value store whose flushes and compactions run in other processes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says how a key or value is given that looks like an option. Parsers of commands are of this class too."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, exit with 2."""
        if message.startswith("unrecognized arguments: -") or message.endswith((" KEY", " VALUE")):
            message += (
                "\n(a KEY or VALUE that begins with a dash comes after --, as in: lsmproc put PATH -- -key -value)"
            )
        elif message.startswith("unrecognized arguments: "):
            message += "\n(options come before PATH or after all the others; put takes VALUE or --file FILE, not both)"
        elif message.endswith("expected one argument"):
            message += "\n(one that begins with a dash is written with =, as in: --start=-key)"
        super().error(message)


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and exit."""
        from importlib import metadata  # noqa: PLC0415 - 30 ms

        try:
            version = metadata.version("lsmproc")
        except metadata.PackageNotFoundError:
            version = "(not installed: run from its sources)"
        print(f"lsmproc {version}")
        parser.exit()
