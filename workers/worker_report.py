"""What is told of one background worker, for stats and people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WorkerState(StrEnum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DEAD = "dead"  # ended, and started again when there is work


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker at one moment."""

    name: str  # "flush-1", "compaction-2"
    kind: str  # "flush" or "compaction"
    pid: int | None  # of its process; None in the owner's own process and while dead
    state: WorkerState
    job: str  # the running job in words, or ""
    restarts: int  # how often its process died and was started again
    jobs_done: int
    job_bytes_written: int = 0  # by the running job, as of about a second ago
    job_bytes: int = 0  # it reads; what it writes is mostly less
    job_seconds: float = 0.0  # since it was handed over
