"""``lsmproc why``: whether the writes of a store are stalled, why, and what to change."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_store
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError
from lsmproc.cli.store_access import open_to_read

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc why /tmp/store
lsmproc why /tmp/store --json
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "why",
        run,
        summary="explain why the writes of a store are stalled, or how near to it they are",
        details="Of a store that is open, its owner's last figures count; of a closed one, the backlog that its next\n"
        "owner will find, against the settings given here. The exit code is 1 if writes are stalled, or would be.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    add_json(parser, "one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.monitoring.stall_explanation import explain, explain_closed  # noqa: PLC0415 - not needed to print help
    from lsmproc.monitoring.store_status import read_status  # noqa: PLC0415 - as above

    status = read_status(arguments.path)
    head = status.text
    if status.owner in {"running", "silent"}:
        explanation = explain(status.stats)
    elif status.owner == "unknown":
        raise CannotError(f"the store {status.path} is {status.text}; explain_stall() in its program tells why")
    else:
        with open_to_read(arguments) as store:
            explanation = explain_closed(store.stats().to_json_dict())
        head = f"{status.text.partition(';')[0]}; what its next owner will find:"
    if arguments.json:
        store_told = {"path": status.path, "owner": status.owner, "text": head, "age_seconds": status.age_seconds}
        print(json.dumps({**store_told, **explanation.to_json_dict()}))
    else:
        print(f"{head}\n{explanation}")
    return NEGATIVE if explanation.stalled else FINE
