"""The cycles of a plan, decided before the run starts: each is a pure function of the plan and its seed.

Cycles come in episodes. An episode has a fresh directory on one kind of volume, one option set and one load; its cycles
follow each other on the same store. So a cycle is replayed by running its episode alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lsmproc.stress.faults import POINT_FAULTS, SMALL_VOLUMES, Fault
from lsmproc.stress.operations import LoadShape
from lsmproc.stress.option_sets import OPTION_SETS, OptionSet
from lsmproc.stress.plan import INTERVAL_PROMISE_SECONDS, StressPlan
from lsmproc.stress.points import ERROR_POINTS, KILL_POINTS, chosen

_MOST_SECONDS_BEFORE_A_POINT = 0.1  # its operations come all the time
# A load that fills a small disk: a thread's keys hold twice as much in the end.
_FILLING_KEYS = 600
_FILLING_VALUE_BYTES = 16 << 10
_ROOM_BYTES = (700 << 10, 1200 << 10)


@dataclass(frozen=True, slots=True)
class CyclePlan:
    """One cycle."""

    number: int
    fault: Fault
    delay_seconds: float  # from the start of the load to the fault
    chance: random.Random  # for what is decided on the spot
    point: str = ""  # where a process dies or an operation fails


@dataclass(frozen=True, slots=True)
class EpisodePlan:
    """A fresh store and the cycles that it goes through."""

    number: int
    volume: str  # "directory", or one of POWER_VOLUMES or SMALL_VOLUMES
    options: OptionSet
    sync: str
    load: LoadShape
    cycles: tuple[CyclePlan, ...]
    room_bytes: int = 0  # of a small volume


@dataclass(frozen=True, slots=True)
class _Group:
    """Faults that may share a store."""

    volume: str
    faults: list[tuple[Fault, str]]  # with the point, if there is one
    size: int  # of an episode


def episodes(plan: StressPlan) -> Iterator[EpisodePlan]:
    """The episodes of a plan, or the one that it names."""
    number = cycle = 0
    for group in _groups(plan):
        for start in range(0, len(group.faults), group.size):
            some = group.faults[start : start + group.size]
            if plan.only_episode is None or plan.only_episode == number:
                yield _episode(plan, number, cycle, group.volume, some)
            number += 1
            cycle += len(some)


def points_of(plan: StressPlan, fault: Fault) -> tuple[str, ...]:
    """The points that a plan arms in turn, for kills or for errors."""
    names = KILL_POINTS if fault is Fault.KILL_POINT else ERROR_POINTS
    return chosen(names, plan.points, syncs=_point_syncs(plan) != ())


def outline(plan: StressPlan) -> Iterator[str]:
    """One line for each cycle."""
    for episode in episodes(plan):
        for cycle in episode.cycles:
            where = f" {cycle.point}" if cycle.point else ""
            store = f"{episode.options.name}/{episode.sync}/{episode.load.threads}t/{episode.volume}"
            after = f"after {cycle.delay_seconds * 1000:.0f}ms"
            yield f"#{cycle.number:04d} episode {episode.number} {store} {cycle.fault}{where} {after}"


def _groups(plan: StressPlan) -> list[_Group]:
    """Every fault of a run: shuffled, but kinds of one nature stay together, for they want other option sets."""
    size = plan.cycles_per_episode
    special = plan.owner_kills // 8
    owner = [Fault.KILL_OWNER] * (plan.owner_kills - special) + [Fault.KILL_OWNER_REOPENING] * special
    orphaned = plan.worker_stops // 2
    worker = [
        *[Fault.KILL_FLUSH_WORKER] * plan.flush_worker_kills,
        *[Fault.KILL_COMPACTION_WORKER] * plan.compaction_worker_kills,
        *[Fault.STOP_WORKER] * (plan.worker_stops - orphaned),
        *[Fault.ORPHAN_STOPPED_WORKER] * orphaned,
        *[Fault.DAMAGE_SEALED_LOG] * plan.log_damages,
    ]
    special = plan.power_cuts // 8
    power = [Fault.CUT_POWER] * (plan.power_cuts - special) + [Fault.CUT_POWER_REOPENING] * special
    plain: list[Sequence[Fault]] = [owner, worker, [Fault.DAMAGE_FILE] * plan.file_damages]
    chance = random.Random(f"{plan.seed}/faults")  # noqa: S311 - a repeatable plan, not a secret
    groups = [_Group("directory", [(fault, "") for fault in faults], size) for faults in plain]
    for fault, number in ((Fault.KILL_POINT, plan.kill_points), (Fault.DISK_ERROR, plan.disk_errors)):
        groups.append(_Group("directory", _in_turn(plan, fault, number, chance), size))
    groups += [_Group(volume, [(fault, "") for fault in power], size) for volume in plan.volumes]
    # A disk that was full once has room afterwards, so each store has one of its own.
    for place, disk in enumerate(plan.disks):
        groups.append(_Group(disk, [(Fault.FILL_DISK, "")] * len(range(place, plan.full_disks, len(plan.disks))), 1))
    for group in groups:
        if group.faults and group.faults[0][0] not in POINT_FAULTS:
            chance.shuffle(group.faults)
    return groups


def _in_turn(plan: StressPlan, fault: Fault, number: int, chance: random.Random) -> list[tuple[Fault, str]]:
    """Each point once, then each again, in another order each time."""
    names = list(points_of(plan, fault))
    found: list[str] = []
    while names and len(found) < number:
        chance.shuffle(names)
        found += names
    return [(fault, name) for name in found[:number]]


def _episode(
    plan: StressPlan, number: int, first_cycle: int, volume: str, faults: list[tuple[Fault, str]]
) -> EpisodePlan:
    chance = random.Random(f"{plan.seed}/episode/{number}")  # noqa: S311 - a repeatable plan, not a secret
    options = _options(plan, number, volume, [fault for fault, _ in faults])
    syncs = plan.sync
    if any(fault in POINT_FAULTS for fault, _ in faults):
        syncs = _point_syncs(plan) or plan.sync
    sync = syncs[(number + plan.seed) % len(syncs)]
    load = LoadShape(
        chance.choice(plan.threads),
        options.keys_per_thread,
        options.value_max_bytes,
        options.batch_max_records,
        {"mix": 10, "every_write": 1}.get(sync, 0),
    )
    room_bytes = 0
    if volume in SMALL_VOLUMES:
        load = replace(load, keys_per_thread=_FILLING_KEYS, value_max_bytes=_FILLING_VALUE_BYTES)
        room_bytes = int(chance.uniform(*_ROOM_BYTES) * (1 + load.threads) / 2)
    low, high = plan.interval_seconds
    cycles = []
    for place, (fault, point) in enumerate(faults):
        delay = chance.uniform(low, high) + _extra_seconds(volume, sync, place)
        cycles.append(
            CyclePlan(
                first_cycle + place,
                fault,
                min(delay, _MOST_SECONDS_BEFORE_A_POINT) if point else delay,
                random.Random(f"{plan.seed}/cycle/{first_cycle + place}"),  # noqa: S311 - repeatable, not a secret
                point,
            )
        )
    return EpisodePlan(number, volume, options, sync, load, tuple(cycles), room_bytes)


def _options(plan: StressPlan, number: int, volume: str, faults: list[Fault]) -> OptionSet:
    wanted = [each for each in OPTION_SETS if not plan.option_sets or each.name in plan.option_sets]
    suitable = [each for each in wanted if each.suits(volume) and (each.busy or not any(f.wants_busy for f in faults))]
    if volume in SMALL_VOLUMES or any(fault in POINT_FAULTS for fault in faults):
        suitable = [each for each in suitable if each.small and each.writes_log] or suitable
    suitable = suitable or wanted
    # Taken in turn from a shuffled order, so that a short run sees different ones too.
    random.Random(f"{plan.seed}/option sets").shuffle(suitable)  # noqa: S311 - a repeatable plan, not a secret
    return suitable[number % len(suitable)]


def _point_syncs(plan: StressPlan) -> tuple[str, ...]:
    """The policies under which an owner syncs its log."""
    return tuple(sync for sync in plan.sync if sync != "none")


def _extra_seconds(volume: str, sync: str, place: int) -> float:
    """Under the policy "interval", one cycle of an episode lasts long enough that some operations are promised."""
    powered = volume != "directory" and volume not in SMALL_VOLUMES
    return INTERVAL_PROMISE_SECONDS if powered and sync == "interval" and not place else 0.0
