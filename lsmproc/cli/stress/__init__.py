"""``lsmproc stress``: break a store's processes, disk and files while it works, and check every promise, repeatedly."""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lsmproc.cli.exit_codes import FINE, INTERRUPTED, NEGATIVE
from lsmproc.cli.stress.options import add_to
from lsmproc.cli.termination import terminated_like_interrupted

if TYPE_CHECKING:
    from lsmproc.stress.plan import StressPlan
    from lsmproc.stress.report import NotTried, StressReport
    from lsmproc.stress.soak import SoakReport

__all__ = ["add_to", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.cli.stress.plan_choice import chosen_plan, needs_mounts  # noqa: PLC0415 - help needs no engine
    from lsmproc.cli.stress.private_mounts import is_private, run_with_private_mounts  # noqa: PLC0415 - see plan_choice

    if arguments.sabotage == "list":
        _list_sabotages()
        return FINE
    plan, not_tried = chosen_plan(arguments)
    if arguments.print_plan:
        from lsmproc.stress.schedule import outline  # noqa: PLC0415 - help needs no engine

        print(f"seed {plan.seed}", *outline(plan), *(each.line() for each in not_tried), sep="\n")
        return FINE
    with terminated_like_interrupted():
        if arguments.soak is None and needs_mounts(plan) and not is_private():
            return run_with_private_mounts(plan, not_tried, arguments)
        return _run_here(plan, not_tried, arguments)


def _run_here(plan: StressPlan, not_tried: list[NotTried], arguments: argparse.Namespace) -> int:
    from lsmproc.stress.rig import run_soak, run_stress  # noqa: PLC0415 - help needs no engine

    directory = arguments.dir or str(Path(tempfile.gettempdir()) / f"lsmproc-stress-{plan.seed}-{secrets.token_hex(4)}")
    if not arguments.json:
        print(f"seed {plan.seed} in {directory}", flush=True)
    write = _ignore if arguments.json else _print_now
    report: SoakReport | StressReport
    if arguments.soak is not None:
        report = run_soak(plan, arguments.soak, directory, write)
    else:
        report = run_stress(plan, directory, write, not_tried)
    if arguments.json:
        print(json.dumps(report.to_json_dict(), default=repr))
    if report.interrupted and not report.failed:
        return INTERRUPTED
    return NEGATIVE if report.failed or report.tested_nothing else FINE


def _list_sabotages() -> None:
    from lsmproc.stress.faults import SABOTAGE_NAMES  # noqa: PLC0415 - help needs no engine

    for name, text in SABOTAGE_NAMES.items():
        print(f"{name:26}{text}")


def _print_now(line: str) -> None:
    print(line, flush=True)


def _ignore(_line: str) -> None:
    """The report at the end says it all."""
