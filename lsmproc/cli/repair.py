"""``lsmproc repair``: a new store from all that is sound of a damaged one."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json
from lsmproc.cli.exit_codes import FINE, NEGATIVE
from lsmproc.cli.progress import Progress
from lsmproc.cli.record_text import shown

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.repair.report import Loss, RepairReport

_EXAMPLES = """
lsmproc repair /data/store --into /data/repaired
lsmproc repair /data/store --into /data/repaired --json > report.json
lsmproc repair /data/store --into /data/prefix --strict
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "repair",
        run,
        summary="write all that is sound of a damaged store as a new one, and list what is lost",
        details="Changes nothing in PATH. Keeps each block of a table and each frame of the log whose checksum fits;\n"
        "of each key the newest record that is left counts. Works without CURRENT and without a manifest, but then\n"
        "says that deleted keys may be back. Needs as much free space as the live data take.\n"
        "Exit code 0: all kept; 1: something is lost or in doubt; 2: cannot (open elsewhere, NEW not empty, no store).",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of the damaged store")
    parser.add_argument("--into", metavar="NEW", required=True, help="directory to make: new or empty, outside of PATH")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first hole in the log, instead of keeping what proves itself behind it",
    )
    add_json(parser, "the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.repair.store_repair import repair_store  # noqa: PLC0415 - the engine is not needed to print help

    with Progress("read", "bytes") as progress:
        report = repair_store(arguments.path, into=arguments.into, strict=arguments.strict, on_progress=progress.update)
    if arguments.json:
        print(json.dumps(report.to_json_dict()))
    else:
        _print(report)
    return FINE if report.verdict == "all kept" else NEGATIVE


def _print(report: RepairReport) -> None:
    for note in report.notes:
        print(f"note: {note}")
    for loss in report.losses:
        print(f"lost: {_in_words(loss)}")
    for doubt in report.doubts:
        print(f"in doubt: {doubt}")
    print(
        f"kept: {report.table_records:,} records of {report.tables} tables, {report.log_records:,} of "
        f"{report.segments} log segments; of these {report.records_written:,} count, in "
        f"{report.tables_written} tables, and {report.tombstones_honoured:,} keys stay deleted"
    )
    print(f"{report.into}: {report.verdict}")


def _in_words(loss: Loss) -> str:
    parts = [f"{loss.place}: {loss.reason}"]
    if loss.size is not None:
        parts.append(f"{loss.size:,} bytes")
    if loss.records is not None:
        parts.append(f"{loss.records:,} records")
    if loss.smallest is not None and loss.largest is not None:
        parts.append(f"keys from {shown(loss.smallest)} to {shown(loss.largest)}")
    if loss.tombstones is not None:
        parts.append(f"{loss.tombstones:,} deletions at most" if loss.tombstones else "no deletions")
    return ", ".join(parts)
