"""What one cycle found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lsmproc.stress.oracle import Problem


@dataclass(slots=True)
class CycleResult:
    """One cycle, while it runs and afterwards."""

    number: int
    episode: int
    seed: int
    fault: str
    options: str
    sync: str
    threads: int
    volume: str = "directory"
    after_ms: float = 0.0  # from the start of the load to the fault
    acked: int = 0  # operations of this cycle
    pending: int = 0
    survived: int | None = None  # operations of this cycle that a power cut has left
    records: int = 0  # in the store when it was looked at
    victim: str = ""  # who or what was hit, and how
    point: str = ""  # where a process was to die, or an operation to fail
    hit: bool | None = None  # whether that point was reached
    outcome: str = ""  # what came of a damaged file
    restart_ms: float | None = None  # from the kill of a worker until a job of its kind runs
    resume_ms: float | None = None  # from the moment a full disk got room until every thread wrote again
    reopen_ms: list[float] = field(default_factory=list)
    gone_ms: list[float] = field(default_factory=list)  # how long processes of dead owners were waited for
    problems: list[Problem] = field(default_factory=list)

    @property
    def fault_and_volume(self) -> str:
        """What the cycle counts as."""
        return self.fault if self.volume == "directory" else f"{self.fault} on {self.volume}"

    def line(self) -> str:
        """The cycle in one line."""
        parts = [
            f"#{self.number:04d} seed={self.seed} {self.options}/{self.sync}/{self.threads}t/{self.volume}",
            f"fault={'@'.join(filter(None, (self.fault, self.point, self.victim)))} after={self.after_ms:.0f}ms",
            f"acked={self.acked:,} pending={self.pending} records={self.records:,}",
        ]
        if self.survived is not None:
            parts.append(f"survived={self.survived:,}")
        if self.restart_ms is not None:
            parts.append(f"restart={self.restart_ms:.0f}ms")
        if self.resume_ms is not None:
            parts.append(f"resume={self.resume_ms:.0f}ms")
        if self.hit is False:
            parts.append("NOT REACHED")
        if self.outcome:
            parts.append(f"outcome={self.outcome!r}")
        if self.reopen_ms:
            parts.append("reopen=" + "+".join(f"{ms:.0f}" for ms in self.reopen_ms) + "ms")
        parts.append("OK" if not self.problems else "FAILED: " + _kinds(self.problems))
        return " ".join(parts)


def _kinds(problems: list[Problem]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(problem.kind for problem in problems).items())
