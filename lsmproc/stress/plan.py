"""What a run does: how many cycles of each kind, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from lsmproc.stress.faults import POWER_VOLUMES, SMALL_VOLUMES

SYNC_POLICIES = ("none", "interval", "every_write", "mix")

# Under the sync policy "interval", an operation acknowledged so long before a power cut must be durable. The rig asks
# for a sync each 50 ms; the rest is what a sync may take on a busy machine.
INTERVAL_PROMISE_SECONDS = 3.0

# What is counted, in the order of a run.
COUNTS = (
    "owner_kills",
    "flush_worker_kills",
    "compaction_worker_kills",
    "worker_stops",
    "log_damages",
    "kill_points",
    "disk_errors",
    "file_damages",
    "power_cuts",
    "full_disks",
)


@dataclass(frozen=True, slots=True)
class StressPlan:
    """How many cycles of each kind, and within which bounds. With its seed it decides everything that is drawn."""

    seed: int
    owner_kills: int = 200
    flush_worker_kills: int = 0
    compaction_worker_kills: int = 0
    worker_stops: int = 0
    log_damages: int = 0
    kill_points: int = 0
    disk_errors: int = 0
    file_damages: int = 0
    power_cuts: int = 0  # on each of the volumes
    full_disks: int = 0  # on the disks in turn
    seconds: float = 600.0  # no cycle starts later than this
    slow_seconds: float = 5.0  # reopening, and the next job after a worker's death, count as broken beyond this
    gone_seconds: float = 5.0  # a process that outlives its owner by more is left behind; on an idle machine none by 1
    interval_seconds: tuple[float, float] = (0.005, 0.5)  # from the start of the load to the fault
    sync: tuple[str, ...] = SYNC_POLICIES
    volumes: tuple[str, ...] = POWER_VOLUMES  # for the power cuts
    disks: tuple[str, ...] = SMALL_VOLUMES  # for the full disks
    option_sets: tuple[str, ...] = ()  # empty: all
    threads: tuple[int, ...] = (1, 2, 4)
    points: tuple[str, ...] = ()  # beginnings of the names of the points to use; empty: all
    cycles_per_episode: int = 10
    only_episode: int | None = None
    sabotage: str | None = None

    def replace(self, **changes: Any) -> Self:
        """A copy with these changes."""
        return replace(self, **changes)
