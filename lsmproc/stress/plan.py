"""What a run does, decided before it starts: every cycle is a pure function of the plan and its seed.

Cycles come in episodes. An episode has a fresh directory on one kind of volume, one option set and one load; its cycles
follow each other on the same store. So a cycle is replayed by running its episode alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from lsmproc.stress.operations import LoadShape
from lsmproc.stress.option_sets import OPTION_SETS, OptionSet

SYNC_POLICIES = ("none", "interval", "every_write", "mix")

# What can be switched off, and how a kill, a damaged log or a power cut shows it.
SABOTAGE_NAMES = {
    "ack-before-log": "writes return before the kernel has them: acknowledged ones are lost",
    "no-crc": "the log is replayed without its checksums: a frame torn by a kill counts as whole",
    "reused-sequence": "sequence numbers start again at each open: older records win",
    "early-rename": "CURRENT names a manifest that is not written yet: the next open fails",
    "no-seal-check": "a flush takes damage in the log for its end: acknowledged writes are lost",
    "tombstone-dropped-early": "tombstones go while older records lie below: deleted keys are back",
    "rotated-log-not-replayed": "only the newest log segment is replayed: acknowledged writes are lost",
    "orphans-kept": "nothing is cleaned up at open: orphan files stay",
    "deaf-worker": "workers do not look for their owner: processes are left behind",
    "skip-directory-sync": "new names are not synced: a power cut takes files that the manifest counts on",
    "skip-table-sync": "tables are not synced: a power cut empties files that the manifest counts on",
}

# Where a power cut can happen: loop devices with a real file system, which need root, and a model of a disk.
POWER_VOLUMES = ("ext4", "xfs", "model")
# Under the sync policy "interval", an operation acknowledged so long before a power cut must be durable. The rig asks
# for a sync each 50 ms; the rest is what a sync may take on a busy machine.
INTERVAL_PROMISE_SECONDS = 3.0


class Fault(StrEnum):
    """What happens to the processes of a store in one cycle."""

    KILL_OWNER = "owner"
    KILL_OWNER_REOPENING = "owner-reopening"  # and once more, while the next owner opens the store
    TEAR_WRITE = "owner-in-write"  # it dies in the middle of a write to the log or the manifest
    KILL_FLUSH_WORKER = "flush-worker"
    KILL_COMPACTION_WORKER = "compaction-worker"
    STOP_WORKER = "stop-worker"  # SIGSTOP, and SIGCONT later
    ORPHAN_STOPPED_WORKER = "orphan-stopped-worker"  # SIGSTOP, kill the owner, reopen, SIGCONT
    DAMAGE_SEALED_LOG = "damage-sealed-log"  # a byte of a sealed segment flips before its flush
    CUT_POWER = "power-cut"
    CUT_POWER_REOPENING = "power-cut-reopening"  # and once more, while the next owner opens the store

    @property
    def ends_owner(self) -> bool:
        """Whether the owner is killed in the cycle."""
        return self in {*_OWNER_FAULTS, *POWER_FAULTS, Fault.ORPHAN_STOPPED_WORKER}


_OWNER_FAULTS = (Fault.KILL_OWNER, Fault.KILL_OWNER_REOPENING, Fault.TEAR_WRITE)
POWER_FAULTS = (Fault.CUT_POWER, Fault.CUT_POWER_REOPENING)


@dataclass(frozen=True, slots=True)
class StressPlan:
    """How many cycles of each kind, and within which bounds."""

    seed: int
    owner_kills: int = 200
    flush_worker_kills: int = 0
    compaction_worker_kills: int = 0
    worker_stops: int = 0
    log_damages: int = 0
    power_cuts: int = 0  # on each of the volumes
    seconds: float = 600.0  # no cycle starts later than this
    slow_seconds: float = 5.0  # reopening, and the next job after a worker's death, count as broken beyond this
    gone_seconds: float = 1.0  # a process that outlives its owner by more is left behind
    interval_seconds: tuple[float, float] = (0.005, 0.5)  # from the start of the load to the fault
    sync: tuple[str, ...] = SYNC_POLICIES
    volumes: tuple[str, ...] = POWER_VOLUMES  # for the power cuts
    option_sets: tuple[str, ...] = ()  # empty: all
    threads: tuple[int, ...] = (1, 2, 4)
    cycles_per_episode: int = 10
    only_episode: int | None = None
    sabotage: str | None = None

    def replace(self, **changes: Any) -> Self:
        """A copy with these changes."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class CyclePlan:
    """One cycle."""

    number: int
    fault: Fault
    delay_seconds: float  # from the start of the load to the fault
    chance: random.Random  # for what is decided on the spot


@dataclass(frozen=True, slots=True)
class EpisodePlan:
    """A fresh store and the cycles that it goes through."""

    number: int
    volume: str  # "directory", or one of POWER_VOLUMES
    options: OptionSet
    sync: str
    load: LoadShape
    cycles: tuple[CyclePlan, ...]


def episodes(plan: StressPlan) -> Iterator[EpisodePlan]:
    """The episodes of a plan, or the one that it names."""
    size = plan.cycles_per_episode
    number = cycle = 0
    for volume, faults in _faults(plan):
        for start in range(0, len(faults), size):
            some = faults[start : start + size]
            if plan.only_episode is None or plan.only_episode == number:
                yield _episode(plan, number, cycle, volume, some)
            number += 1
            cycle += len(some)


def _faults(plan: StressPlan) -> list[tuple[str, list[Fault]]]:
    """Every fault of a run: shuffled, but kinds of one nature stay together, for they want other option sets."""
    special = plan.owner_kills // 8
    owner = [
        *[Fault.KILL_OWNER] * (plan.owner_kills - 2 * special),
        *[Fault.KILL_OWNER_REOPENING] * special,
        *[Fault.TEAR_WRITE] * special,
    ]
    orphaned = plan.worker_stops // 2
    worker = [
        *[Fault.KILL_FLUSH_WORKER] * plan.flush_worker_kills,
        *[Fault.KILL_COMPACTION_WORKER] * plan.compaction_worker_kills,
        *[Fault.STOP_WORKER] * (plan.worker_stops - orphaned),
        *[Fault.ORPHAN_STOPPED_WORKER] * orphaned,
        *[Fault.DAMAGE_SEALED_LOG] * plan.log_damages,
    ]
    special = plan.power_cuts // 8
    power = [*[Fault.CUT_POWER] * (plan.power_cuts - special), *[Fault.CUT_POWER_REOPENING] * special]
    groups = [("directory", owner), ("directory", worker), *((volume, list(power)) for volume in plan.volumes)]
    chance = random.Random(f"{plan.seed}/faults")  # noqa: S311 - a repeatable plan, not a secret
    for _, faults in groups:
        chance.shuffle(faults)
    return groups


def _episode(plan: StressPlan, number: int, first_cycle: int, volume: str, faults: list[Fault]) -> EpisodePlan:
    chance = random.Random(f"{plan.seed}/episode/{number}")  # noqa: S311 - a repeatable plan, not a secret
    needs_busy = any(fault not in _OWNER_FAULTS for fault in faults)
    wanted = [each for each in OPTION_SETS if not plan.option_sets or each.name in plan.option_sets]
    suitable = [each for each in wanted if each.suits(volume) and (each.busy or not needs_busy)] or wanted
    # Taken in turn from a shuffled order, so that a short run sees different ones too.
    random.Random(f"{plan.seed}/option sets").shuffle(suitable)  # noqa: S311 - a repeatable plan, not a secret
    options = suitable[number % len(suitable)]
    sync = plan.sync[(number + plan.seed) % len(plan.sync)]
    load = LoadShape(
        chance.choice(plan.threads),
        options.keys_per_thread,
        options.value_max_bytes,
        options.batch_max_records,
        {"mix": 10, "every_write": 1}.get(sync, 0),
    )
    low, high = plan.interval_seconds
    cycles = tuple(
        CyclePlan(
            first_cycle + place,
            fault,
            chance.uniform(low, high) + _extra_seconds(volume, sync, place),
            random.Random(f"{plan.seed}/cycle/{first_cycle + place}"),  # noqa: S311 - repeatable, not a secret
        )
        for place, fault in enumerate(faults)
    )
    return EpisodePlan(number, volume, options, sync, load, cycles)


def _extra_seconds(volume: str, sync: str, place: int) -> float:
    """Under the policy "interval", one cycle of an episode lasts long enough that some operations are promised."""
    return INTERVAL_PROMISE_SECONDS if volume != "directory" and sync == "interval" and not place else 0.0
