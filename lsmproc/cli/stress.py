"""``lsmproc stress``: kill a store while it works, open it again, and check every promise, as often as you like."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, count, seconds
from lsmproc.cli.exit_codes import FINE, INTERRUPTED, NEGATIVE, CannotError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.stress.plan import StressPlan

_EXAMPLES = """
lsmproc stress                                    40 owner kills and some of everything else, about a minute
lsmproc stress --full                             1000 owner kills, 500 worker kills, 500 power cuts each; an hour
lsmproc stress --power-cuts 50 --volumes xfs      power cuts alone, as root
lsmproc stress --owner-kills 1000 --dir /data/st  on the disk that you mean to use
lsmproc stress --seed 7 --episode 3               one episode of an earlier run again
lsmproc stress --sabotage ack-before-log          take a protection away: the run must fail
"""

_DETAILS = """\
A child process applies random writes to a store and acknowledges each; this process kills it, or one of its workers,
at a random moment, has the store opened again and compares everything in it with what was acknowledged. The store
lies in a directory of its own, never in one that exists already. Stops at the first broken promise, keeps a copy of
the store from before it was opened again, and says how to run the same cycles again.
Exit code 1: a promise was not kept, or the time was up before the first cycle, so that nothing was tested."""

_MAX_THREADS = 64
_NAMESPACE = "LSMPROC_STRESS_NAMESPACE"  # set in the child that has mounts of its own
_QUICK = {
    "owner_kills": 40,
    "flush_worker_kills": 10,
    "compaction_worker_kills": 10,
    "worker_stops": 6,
    "log_damages": 6,
    "power_cuts": 10,
}
_FULL = {
    "owner_kills": 1000,
    "flush_worker_kills": 250,
    "compaction_worker_kills": 250,
    "worker_stops": 50,
    "log_damages": 50,
    "power_cuts": 500,
}


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "stress",
        run,
        summary="kill a store's processes at random moments and check that nothing is lost",
        details=_DETAILS,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--dir", metavar="DIR", help="where to work; must not exist yet (default: a temporary directory)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the run with this seed (default: a random one)")
    parser.add_argument("--full", action="store_true", help="the long form instead of the quick one")
    counts = parser.add_argument_group("what happens, and how often (given one of them, the others count as 0)")
    for name, text in (
        (
            "owner-kills",
            "SIGKILL for the owner process; 1 in 8 hits the reopening too, 1 in 8 the middle of a write",
        ),
        ("flush-worker-kills", "SIGKILL for a flush worker"),
        ("compaction-worker-kills", "SIGKILL for a compaction worker"),
        ("worker-stops", "SIGSTOP for a worker, SIGCONT later; in half of them its owner is killed in between"),
        ("log-damages", "a byte of a sealed log segment flips before its flush"),
        ("power-cuts", "power is lost, so often on each of --volumes; 1 in 8 hits the reopening too"),
    ):
        counts.add_argument(f"--{name}", type=count, metavar="N", help=text)
    bounds = parser.add_argument_group("bounds and choices")
    bounds.add_argument("--seconds", type=seconds, metavar="S", help="begin no cycle after so long; more than 0")
    bounds.add_argument(
        "--interval",
        type=_interval,
        metavar="LOW[:HIGH]",
        help="seconds of load before each fault, drawn between the two (default 0.005:0.5); one number is both",
    )
    bounds.add_argument("--sync", metavar="NAMES", help="sync policies in turn: none,interval,every_write,mix")
    bounds.add_argument(
        "--volumes",
        metavar="NAMES",
        help="for power cuts: ext4,xfs (loop devices, need root) and model; default: what the machine can do",
    )
    bounds.add_argument("--options", metavar="NAMES", help="option sets in turn, such as tiny,plain (default: all)")
    bounds.add_argument(
        "--threads",
        type=_threads,
        metavar="NUMBERS",
        help="numbers of writing threads to draw from, each 1 to 64 (default 1,2,4)",
    )
    bounds.add_argument("--episode", type=count, metavar="N", help="run only this episode of the plan")
    bounds.add_argument("--sabotage", metavar="NAME", help="switch one protection off; 'list' shows them")
    add_json(parser, "the whole report as one JSON object at the end instead of a line for each cycle")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.stress.rig import run_stress  # noqa: PLC0415 - the engine is not needed to print help

    if arguments.sabotage == "list":
        _list_sabotages()
        return FINE
    plan = _plan(arguments)
    if plan.power_cuts and plan.volumes != ("model",) and _NAMESPACE not in os.environ:
        return _run_in_namespace(plan, arguments)
    directory = arguments.dir or str(Path(tempfile.gettempdir()) / f"lsmproc-stress-{plan.seed}-{secrets.token_hex(4)}")
    if not arguments.json:
        print(f"seed {plan.seed} in {directory}", flush=True)
    report = run_stress(plan, directory, _ignore if arguments.json else _print_now)
    if arguments.json:
        print(json.dumps(report.to_json_dict(), default=repr))
    if report.interrupted and not report.failed:
        return INTERRUPTED
    return NEGATIVE if report.failed or report.tested_nothing else FINE


def _plan(arguments: argparse.Namespace) -> StressPlan:
    from lsmproc.stress.option_sets import OPTION_SETS  # noqa: PLC0415 - see run
    from lsmproc.stress.plan import SABOTAGE_NAMES, SYNC_POLICIES, StressPlan  # noqa: PLC0415 - see run

    if arguments.sabotage not in {None, *SABOTAGE_NAMES}:
        raise CannotError(f"there is no sabotage {arguments.sabotage!r}; see lsmproc stress --sabotage list")
    given = {name: count for name in _FULL if (count := getattr(arguments, name)) is not None}
    counts = dict.fromkeys(_FULL, 0) | given if given else _FULL if arguments.full else _QUICK
    plan = StressPlan(
        secrets.randbits(31) if arguments.seed is None else arguments.seed,
        **counts,
        seconds=arguments.seconds if arguments.seconds is not None else 3600.0 if arguments.full else 600.0,
        only_episode=arguments.episode,
        sabotage=arguments.sabotage,
        sync=_names("--sync", arguments.sync, SYNC_POLICIES) or SYNC_POLICIES,
        option_sets=_names("--options", arguments.options, [each.name for each in OPTION_SETS]),
        volumes=_volumes(arguments.volumes),
    )
    if arguments.threads is not None:
        plan = plan.replace(threads=arguments.threads)
    if arguments.interval is not None:
        plan = plan.replace(interval_seconds=arguments.interval)
    _check_that_it_tests(plan)
    return plan


def _volumes(given: str | None) -> tuple[str, ...]:
    """Where power is cut: everywhere it can be, or exactly where it was asked for."""
    from lsmproc.stress.plan import POWER_VOLUMES  # noqa: PLC0415 - see run
    from lsmproc.stress.volumes import missing_for  # noqa: PLC0415 - see run

    asked = _names("--volumes", given, POWER_VOLUMES)
    for name in asked:
        if missing := missing_for(name):
            raise CannotError(f"--volumes {name}: {missing}; leave it out, or use the volume model")
    return asked or tuple(name for name in POWER_VOLUMES if missing_for(name) is None)


def _run_in_namespace(plan: StressPlan, arguments: argparse.Namespace) -> int:
    """Run the plan in a process with mounts of its own, which end with it whatever happens."""
    from lsmproc.stress.rig import replay_command  # noqa: PLC0415 - see run

    words = [*replay_command(plan).split()[1:], "--seconds", str(plan.seconds)]
    words += ["--dir", arguments.dir] if arguments.dir else []
    words += ["--json"] if arguments.json else []
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "lsmproc", *words]
    # It gets the Ctrl-C of the terminal as well, and ends with its report.
    child = subprocess.Popen(command, env={**os.environ, _NAMESPACE: "1"})  # noqa: S603 - this very command
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()


def _check_that_it_tests(plan: StressPlan) -> None:
    """A run without a cycle would pass whatever the store does."""
    from lsmproc.stress.plan import episodes  # noqa: PLC0415 - see run

    last = -1
    for each in episodes(plan.replace(only_episode=None)):
        last = each.number
    if last < 0:
        raise CannotError("every count is 0: there is nothing to test")
    if plan.only_episode is not None and plan.only_episode > last:
        raise CannotError(f"--episode {plan.only_episode}: these counts make the episodes 0 to {last}")
    if plan.seconds <= 0:
        raise CannotError("--seconds 0 leaves no time for a cycle: there is nothing to test")


def _names(option: str, given: str | None, known: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(given.split(",")) if given is not None else ()
    if unknown := [name for name in names if name not in known]:
        raise CannotError(f"{option} does not know {unknown[0]!r}; it knows {', '.join(known)}")
    return names


def _list_sabotages() -> None:
    from lsmproc.stress.plan import SABOTAGE_NAMES  # noqa: PLC0415 - see run

    for name, text in SABOTAGE_NAMES.items():
        print(f"{name:26}{text}")


def _interval(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    bounds = (seconds(low), seconds(high if colon else low))
    if bounds[0] > bounds[1]:
        raise argparse.ArgumentTypeError(f"{text!r} has the larger number first: write LOW:HIGH")
    return bounds


def _threads(text: str) -> tuple[int, ...]:
    numbers = tuple(map(count, text.split(",")))
    if not 1 <= min(numbers) <= max(numbers) <= _MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r}: a store is written by 1 to {_MAX_THREADS} threads")
    return numbers


def _print_now(line: str) -> None:
    print(line, flush=True)


def _ignore(_line: str) -> None:
    """The report at the end says it all."""
