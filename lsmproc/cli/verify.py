"""``lsmproc verify``: read every checksum of a store that is not open, and change nothing."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json
from lsmproc.cli.exit_codes import CANNOT, FINE, NEGATIVE
from lsmproc.cli.progress import Progress

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.verification import VerificationReport

_EXAMPLES = """
lsmproc verify /tmp/store
lsmproc verify /backup/store --json
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "verify",
        run,
        summary="read every checksum of a store that is not open, change nothing",
        details="Reads the manifest, every block of every table and every frame of the log, and names each problem\n"
        "with file and offset. Exit code 0: sound; 1: damaged; 2: cannot tell (open elsewhere, unreadable, no store).",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    add_json(parser, "the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.verification import verify_store  # noqa: PLC0415 - the engine is not needed to print help

    with Progress("verified", "bytes") as progress:
        report = verify_store(arguments.path, progress.update)
    if arguments.json:
        print(json.dumps(_as_json(report)))
    else:
        _print(report)
    return {"sound": FINE, "damaged": NEGATIVE, "unknown": CANNOT}[report.verdict]


def _as_json(report: VerificationReport) -> dict[str, object]:
    problems = [
        {"file": problem.file, "offset": problem.offset, "message": problem.message, "damage": problem.damage}
        for problem in report.problems
    ]
    return {
        "path": report.path,
        "verdict": report.verdict,
        "problems": problems,
        "notes": report.notes,
        "tables": report.tables,
        "table_records": report.table_records,
        "segments": report.segments,
        "log_records": report.log_records,
        "bytes_read": report.bytes_read,
    }


def _print(report: VerificationReport) -> None:
    for line in _grouped(report.notes):
        print(f"note: {line}")
    for problem in report.problems:
        print(problem)
    print(
        f"{report.path}: {report.verdict}. {report.tables} tables with {report.table_records:,} records, "
        f"{report.segments} log segments with {report.log_records:,} records, {report.bytes_read:,} bytes read, "
        f"{len(report.problems)} problems"
    )


def _grouped(notes: list[str]) -> list[str]:
    """One line for all files of which the same is said: a crash may leave hundreds. A note begins with its file."""
    files: dict[str, list[str]] = {}
    for note in notes:
        name, _, fate = note.partition(" ")
        files.setdefault(fate, []).append(name)
    return [
        f"{names[0]} {fate}" if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}: each {fate}"
        for fate, names in files.items()
    ]
