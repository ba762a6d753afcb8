"""``lsmproc stats``: the level table and the other figures of a store."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_store
from lsmproc.cli.exit_codes import FINE
from lsmproc.cli.record_text import json_field, shown
from lsmproc.cli.store_access import open_to_read

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.maintenance.maintenance_results import LiveFile

_EXAMPLES = """
lsmproc stats /tmp/store
lsmproc stats /tmp/store --files --json
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "stats",
        run,
        summary="print the levels and other figures of a store that is not open",
        details="Figures of work count from the opening, so they are zero here; an owner prints its own with\n"
        "lsmproc.format_stats(db.stats()).",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("--files", action="store_true", help="list each table as well")
    add_json(parser, "one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.statistics import format_stats  # noqa: PLC0415 - the engine is not needed to print help

    with open_to_read(arguments) as store:
        stats, files = store.stats(), store.live_files()
    if arguments.json:
        tree = stats.to_json_dict()
        if arguments.files:
            tree["files"] = list(map(_as_json, files))
        print(json.dumps(tree))
        return FINE
    print(format_stats(stats), end="")
    if arguments.files:
        print("\nTable         Level       Bytes    Records Tombstones  Keys")
        for file in files:
            keys = f"{shown(file.smallest)} .. {shown(file.largest)}"
            print(f"{file.name:<13} {file.level:5}{file.size:12,}{file.entries:11,}{file.tombstones:11,}  {keys}")
    return FINE


def _as_json(file: LiveFile) -> dict[str, object]:
    return {
        "name": file.name,
        "level": file.level,
        "bytes": file.size,
        "entries": file.entries,
        "tombstones": file.tombstones,
        **dict([json_field("smallest", file.smallest), json_field("largest", file.largest)]),
    }
