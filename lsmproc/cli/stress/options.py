"""What ``lsmproc stress`` takes on the command line, and how it explains itself. Imports nothing of the engine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, count, seconds

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc stress                                    some of everything, about a minute and a half
lsmproc stress --full                             1000 owner kills, 500 power cuts on each volume; an hour
lsmproc stress --power-cuts 50 --volumes xfs      power cuts alone, as root
lsmproc stress --owner-kills 1000 --dir /data/st  on the disk that you mean to use
lsmproc stress --kill-points 20 --points owner.rename  a process dies at the renames of the owner
lsmproc stress --soak 1800                        half an hour of service; fails if anything grows
lsmproc stress --seed 7 --episode 3               one episode of an earlier run again
lsmproc stress --sabotage ack-before-log          take a protection away: the run must fail
"""

_DETAILS = """\
A child process applies random writes to a store and acknowledges each; this process kills it, or one of its workers,
lets an operation on a file fail, fills the disk or damages a file, has the store opened again and compares everything
in it with what was acknowledged. The store lies in a directory of its own, never in one that exists already. Stops at
the first broken promise, keeps a copy of the store from before it was opened again, and says how to run the same
cycles again.
Exit code 1: a promise was not kept, a point was never reached in a run that armed each one, or the time was up before
the first cycle, so that nothing was tested."""

_MAX_THREADS = 64
_COUNTED = (
    ("owner-kills", "SIGKILL for the owner process; 1 in 8 hits the reopening too"),
    ("flush-worker-kills", "SIGKILL for a flush worker"),
    ("compaction-worker-kills", "SIGKILL for a compaction worker"),
    ("worker-stops", "SIGSTOP for a worker, SIGCONT later; in half of them its owner is killed in between"),
    ("log-damages", "a byte of a sealed log segment flips before its flush"),
    ("kill-points", "a process dies before, after or in the middle of an operation on a file; each point in turn"),
    ("disk-errors", "an operation on a file fails (EIO, ENOSPC), takes half, or lasts long; each point in turn"),
    ("file-damages", "between two owners a file is damaged, cut, removed or swapped; it is put back afterwards"),
    ("power-cuts", "power is lost, so often on each of --volumes; 1 in 8 hits the reopening too"),
    ("full-disks", "the disk fills up until writes raise, and then gets room; on --disks in turn"),
)


def add_to(commands: Commands) -> None:
    """Declare the command."""
    from lsmproc.cli.stress import run  # noqa: PLC0415 - the package imports this module

    parser = add_command(
        commands,
        "stress",
        run,
        summary="break a store's processes, disk and files at random and check that nothing is lost",
        details=_DETAILS,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--dir", metavar="DIR", help="where to work; must not exist yet (default: a temporary directory)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the run with this seed (default: a random one)")
    parser.add_argument("--full", action="store_true", help="the long form instead of the quick one")
    parser.add_argument("--print-plan", action="store_true", help="print the cycles and run nothing")
    parser.add_argument(
        "--soak", type=seconds, metavar="S", help="one owner under load for so long; fails if memory or files grow"
    )
    counts = parser.add_argument_group("what happens, and how often (given one of them, the others count as 0)")
    for name, text in _COUNTED:
        counts.add_argument(f"--{name}", type=count, metavar="N", help=text)
    _add_bounds(parser.add_argument_group("bounds and choices"))
    add_json(parser, "the whole report as one JSON object at the end instead of a line for each cycle")


def _add_bounds(bounds: argparse._ArgumentGroup) -> None:
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
    bounds.add_argument(
        "--disks",
        metavar="NAMES",
        help="for full disks: tmpfs,small-ext4 (both need root); default: what the machine can do",
    )
    bounds.add_argument(
        "--points",
        metavar="NAMES",
        help="only points whose names begin so, such as owner.rename,flush.write.table.torn (default: all)",
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
