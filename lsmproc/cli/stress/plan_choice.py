"""From arguments to a plan: how much of what, where the machine can do it, and nothing that would test nothing."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from typing import Any

from lsmproc.cli.exit_codes import CannotError
from lsmproc.cli.stress.private_mounts import told_not_tried
from lsmproc.stress.faults import POWER_VOLUMES, SABOTAGE_NAMES, SMALL_VOLUMES, Fault
from lsmproc.stress.option_sets import OPTION_SETS
from lsmproc.stress.plan import COUNTS, SYNC_POLICIES, StressPlan
from lsmproc.stress.points import ERROR_POINTS, KILL_POINTS, POINTS, chosen
from lsmproc.stress.report import NotTried
from lsmproc.stress.schedule import episodes, points_of
from lsmproc.stress.volumes import missing_for

_QUICK = {
    "owner_kills": 12,
    "flush_worker_kills": 4,
    "compaction_worker_kills": 4,
    "worker_stops": 4,
    "log_damages": 3,
    "kill_points": len(KILL_POINTS),
    "disk_errors": 24,
    "file_damages": 12,
    "power_cuts": 5,
    "full_disks": 4,
}
_FULL = {
    "owner_kills": 1000,
    "flush_worker_kills": 250,
    "compaction_worker_kills": 250,
    "worker_stops": 50,
    "log_damages": 50,
    "kill_points": 5 * len(KILL_POINTS),
    "disk_errors": 4 * len(ERROR_POINTS),
    "file_damages": 400,
    "power_cuts": 500,
    "full_disks": 100,
}
_QUICK_SECONDS = 600.0
_FULL_SECONDS = 7200.0


def chosen_plan(arguments: argparse.Namespace) -> tuple[StressPlan, list[NotTried]]:
    """The plan, and what of it this machine cannot do. Raises CannotError."""
    if arguments.sabotage not in {None, *SABOTAGE_NAMES}:
        raise CannotError(f"there is no sabotage {arguments.sabotage!r}; see lsmproc stress --sabotage list")
    given = {name: count for name in COUNTS if (count := getattr(arguments, name)) is not None}
    counts = dict.fromkeys(COUNTS, 0) | given if given else _FULL if arguments.full else _QUICK
    not_tried: list[NotTried] = []
    plan = StressPlan(
        secrets.randbits(31) if arguments.seed is None else arguments.seed,
        **counts,
        seconds=arguments.seconds or (_FULL_SECONDS if arguments.full else _QUICK_SECONDS),
        only_episode=arguments.episode,
        sabotage=arguments.sabotage,
        sync=_names("--sync", arguments.sync, SYNC_POLICIES) or SYNC_POLICIES,
        option_sets=_names("--options", arguments.options, [each.name for each in OPTION_SETS]),
        points=_points(arguments.points),
        volumes=_possible("--volumes", arguments.volumes, POWER_VOLUMES, "power cuts", counts["power_cuts"], not_tried),
    )
    plan = plan.replace(
        disks=_possible("--disks", arguments.disks, SMALL_VOLUMES, "full disks", plan.full_disks, not_tried),
        **{
            field: value
            for field, value in (("threads", arguments.threads), ("interval_seconds", arguments.interval))
            if value is not None
        },
    )
    _check_that_it_tests(plan, arguments)
    return plan, told_not_tried() or not_tried


def needs_mounts(plan: StressPlan) -> bool:
    """Whether the run mounts anything."""
    return bool((plan.power_cuts and set(plan.volumes) != {"model"}) or (plan.full_disks and plan.disks))


def _possible(
    option: str, given: str | None, known: Sequence[str], what: str, count: int, not_tried: list[NotTried]
) -> tuple[str, ...]:
    """Those of the kinds of volumes that this machine has: all there are, or exactly those asked for."""
    asked = _names(option, given, known)
    for name in asked:
        if missing := missing_for(name):
            raise CannotError(f"{option} {name}: {missing}; leave it out")
    missing_ones = {name: why for name in known if not asked and (why := missing_for(name)) is not None}
    left = asked or tuple(name for name in known if name not in missing_ones)
    if count:
        # Power is cut so often on each of the volumes; full disks are shared out among them.
        shared = what == "full disks" and bool(left)
        not_tried += [
            NotTried(f"{what} on {name}", count // len(known) if what == "full disks" else count, why)
            for name, why in missing_ones.items()
            if not shared
        ]
    return left


def _check_that_it_tests(plan: StressPlan, arguments: argparse.Namespace) -> None:
    """A run without a cycle would pass whatever the store does."""
    if arguments.soak is not None:
        if given := [name for name in (*COUNTS, "episode", "full", "print_plan") if getattr(arguments, name)]:
            raise CannotError(f"--soak is a run of its own: leave out --{given[0].replace('_', '-')}")
        return
    if arguments.seconds == 0:
        raise CannotError("--seconds 0 leaves no time for a cycle: there is nothing to test")
    if plan.full_disks and not plan.disks and not any(getattr(plan, name) for name in COUNTS if name != "full_disks"):
        raise CannotError(f"--full-disks: {missing_for(SMALL_VOLUMES[0])}")
    for name, fault in (("kill_points", Fault.KILL_POINT), ("disk_errors", Fault.DISK_ERROR)):
        if getattr(plan, name) and not points_of(plan, fault):
            raise CannotError(f"--{name.replace('_', '-')}: --points and --sync leave no point to arm")
    last = -1
    for each in episodes(plan.replace(only_episode=None)):
        last = each.number
    if last < 0:
        raise CannotError("every count is 0: there is nothing to test")
    if plan.only_episode is not None and plan.only_episode > last:
        raise CannotError(f"--episode {plan.only_episode}: these counts make the episodes 0 to {last}")


def _points(given: str | None) -> tuple[str, ...]:
    names = tuple(given.split(",")) if given is not None else ()
    for name in names:
        if not chosen(tuple(POINTS), (name,), syncs=True):
            raise CannotError(f"--points: no point begins with {name!r}; one is {KILL_POINTS[0]}")
    return names


def _names(option: str, given: Any, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(given.split(",")) if given is not None else ()
    if unknown := [name for name in names if name not in known]:
        raise CannotError(f"{option} does not know {unknown[0]!r}; it knows {', '.join(known)}")
    return names
