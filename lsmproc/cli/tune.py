"""``lsmproc tune``: what the figures and events of a store say about its settings."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_settings
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.store_access import settings_of

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc tune /tmp/store
lsmproc tune /tmp/store --window 1h --json
lsmproc tune /tmp/store --write tuned.toml
lsmproc bench --config app.toml --config tuned.toml
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "tune",
        run,
        summary="suggest settings, with the evidence for each: what to change, what it brings, what it risks",
        details="Reads the last status page, LOG and the recorded options of a store, open or not, takes no lock and\n"
        "changes nothing. Events count that are in the window and behind the last opening or change of options;\n"
        "sums count from the opening. Exit code 0, whatever there is to say; 2: nothing is known of the store.",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    parser.add_argument("--window", metavar="TIME", type=_window, default=600, help="how far to look back (10m)")
    parser.add_argument("--write", metavar="FILE", help="make a file of settings with the changes; must not exist")
    add_json(parser, "one JSON object")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.tuning.advice import advise  # noqa: PLC0415 - not needed to print help
    from lsmproc.tuning.reading import read_history  # noqa: PLC0415 - as above
    from lsmproc.tuning.report import advice_text, advice_toml, advice_tree  # noqa: PLC0415 - as above

    config = settings_of(arguments)
    advice = advise(read_history(arguments.path, config, window_seconds=arguments.window))
    if not advice.has_evidence:
        raise CannotError(
            f"the store {arguments.path} has left neither figures nor events: it was never open for a second with "
            "background = 'process' or 'thread'"
        )
    path = os.path.abspath(arguments.path)
    if arguments.json:
        print(json.dumps({"path": path, **advice_tree(advice)}))
    else:
        print(advice_text(advice))
    if arguments.write is not None:
        with open(arguments.write, "x", encoding="utf-8") as file:
            file.write(advice_toml(advice, path))
    return FINE


def _window(text: str) -> int:
    from lsmproc.config.units import parse_seconds  # noqa: PLC0415 - not needed to print help

    try:
        seconds = parse_seconds(f"{text}in" if text.endswith("m") else text)  # 10m is how people write it here
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if seconds < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: look back for a second at least")
    return seconds
