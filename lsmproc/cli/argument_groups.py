"""Declares what several commands take: the store and its settings, the form of keys and values, a range, JSON."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.cli.exit_codes import DESCRIPTION

if TYPE_CHECKING:
    # argparse gives the type of what add_subparsers returns no public name.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

# Written out, so that help need not read the package's files; a test compares.
_PROFILES = "bulk-load, default, durable, low-latency, read-heavy, shared-host, small-footprint, write-heavy"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    details: str = "",
    examples: str,
) -> argparse.ArgumentParser:
    """A parser for the command ``name``, whose help ends with examples and the exit codes."""
    shown = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n{details}",
        epilog=f"examples:\n{shown}\n\n{DESCRIPTION}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, command=name)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """PATH and the settings of the store."""
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    group = add_settings(parser)
    group.add_argument(
        "--wait", metavar="SECONDS", type=seconds, default=0.0, help="wait so long for another owner to close the store"
    )


def add_settings(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The settings of the store."""
    group = parser.add_argument_group("settings of the store, later ones count")
    group.add_argument("--profile", metavar="NAME", help=f"a profile that comes with lsmproc: {_PROFILES}")
    group.add_argument("--config", metavar="FILE", help="a TOML file of settings")
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action=_AppendSetting,
        default=[],
        dest="settings",
        help="one setting, such as memtable_max_bytes=64MiB; may be repeated; --set help lists all",
    )
    return group


def seconds(text: str) -> float:
    """A time that is given as an argument: finite and not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds: give 0 or more")
    return number


def count(text: str) -> int:
    """A whole number that is not negative."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number, 0 or more")
    return number


def add_text_form(parser: argparse.ArgumentParser) -> None:
    """--hex and --utf8."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--hex", action="store_true", help="keys and values are hexadecimal digits, given and shown")
    form.add_argument(
        "--utf8",
        action="store_true",
        help="keys and values are text (default); what is not printable is shown as \\xNN and a backslash as \\\\",
    )


def add_json(parser: argparse._ActionsContainer, what: str) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_range(parser: argparse.ArgumentParser) -> None:
    """--start, --stop and --prefix."""
    parser.add_argument("--start", metavar="KEY", help="begin at this key")
    parser.add_argument("--stop", metavar="KEY", help="end before this key")
    parser.add_argument("--prefix", metavar="PREFIX", help="only keys that begin so; not with --start or --stop")


class _AppendSetting(argparse.Action):
    """Collects settings; ``help`` in the place of one prints all there are and exits."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, *_: object
    ) -> None:
        """Collect one."""
        if values == "help":
            from lsmproc.config import LSMConfig  # noqa: PLC0415 - the engine is not needed to print help

            print(LSMConfig.from_options("PATH").to_toml(explained=True), end="")
            parser.exit()
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])
