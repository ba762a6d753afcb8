"""``lsmproc doctor``: is this machine, and this directory, fit for a store."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_settings
from lsmproc.cli.exit_codes import FINE, NEGATIVE
from lsmproc.cli.store_access import settings_of

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.doctor.judgement import Finding

_EXAMPLES = """
lsmproc doctor /data/store
lsmproc doctor /data/store --no-write --json
lsmproc doctor /data/new --profile durable --set max_open_files=5000
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "doctor",
        run,
        summary="look whether a directory and its machine are fit for a store",
        details="File system and mount options, space, syncs, limits, memory, permissions, lock, leftovers, versions;\n"
        "measured against the settings given. PATH need not exist: then the directory is looked at that it would be\n"
        "made in. Each line is OK, WARN or BAD. Exit code 0: nothing is BAD; 1: something is; 2: cannot look.",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of a store, or where one is to be made")
    parser.add_argument("--no-write", action="store_true", help="write no temporary file: no sync is timed")
    add_json(parser, "the findings as one JSON object")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.doctor.examination import examine  # noqa: PLC0415 - the engine is not needed to print help

    findings = examine(arguments.path, settings_of(arguments), write=not arguments.no_write)
    if arguments.json:
        print(json.dumps({"path": arguments.path, "findings": list(map(_as_json, findings))}))
    else:
        for finding in findings:
            _print(finding)
    return NEGATIVE if any(finding.level == "BAD" for finding in findings) else FINE


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "level": str(finding.level),
        "measured": finding.measured,
        "meaning": finding.meaning,
        "remedy": finding.remedy,
    }


def _print(finding: Finding) -> None:
    print(f"{finding.level:<5}{finding.check}: {finding.measured}")
    if finding.meaning:
        print(f"     {finding.meaning}")
        print(f"     what to do: {finding.remedy}")
