"""Declares what several commands take: the store and its settings, the form of keys and values, a range, JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.cli.exit_codes import DESCRIPTION

if TYPE_CHECKING:
    # argparse gives the type of what add_subparsers returns no public name.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001


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
    parser.set_defaults(run=run)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """PATH and the settings of the store."""
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    group = parser.add_argument_group("settings of the store, later ones count")
    group.add_argument("--profile", metavar="NAME", help="a profile that comes with lsmproc, such as bulk-load")
    group.add_argument("--config", metavar="FILE", help="a TOML file of settings")
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="one setting, such as memtable_max_bytes=64MiB; may be repeated",
    )
    group.add_argument(
        "--wait", metavar="SECONDS", type=float, default=0.0, help="wait so long for another owner to close the store"
    )


def add_text_form(parser: argparse.ArgumentParser) -> None:
    """--hex and --utf8."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--hex", action="store_true", help="keys and values are hexadecimal digits, given and shown")
    form.add_argument(
        "--utf8",
        action="store_true",
        help="keys and values are text (default); what is not printable is shown as \\xNN and a backslash as \\\\",
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_range(parser: argparse.ArgumentParser) -> None:
    """--start, --stop and --prefix."""
    parser.add_argument("--start", metavar="KEY", help="begin at this key")
    parser.add_argument("--stop", metavar="KEY", help="end before this key")
    parser.add_argument("--prefix", metavar="PREFIX", help="only keys that begin so; not with --start or --stop")
