"""What a run found: one line for each cycle, figures at the end, everything as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from lsmproc.stress.oracle import Problem

# Problems of these kinds are figures of their own; all the others count as errors.
_COUNTED = {
    "lost": "lost",
    "wrong": "wrong",
    "foreign": "wrong",
    "resurrected": "wrong",
    "torn batch": "wrong",
    "hole": "lost",
    "no prefix": "wrong",
    "order": "wrong",
    "reads differ": "wrong",
    "orphan": "orphans",
    "left": "left processes",
    "slow": "slow",
}


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
    victim: str = ""  # the worker that was hit and what it was doing
    restart_ms: float | None = None  # from the kill of a worker until a job of its kind runs
    reopen_ms: list[float] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def fault_and_volume(self) -> str:
        """What the cycle counts as."""
        return self.fault if self.volume == "directory" else f"{self.fault} on {self.volume}"

    def line(self) -> str:
        """The cycle in one line."""
        parts = [
            f"#{self.number:04d} seed={self.seed} {self.options}/{self.sync}/{self.threads}t/{self.volume}",
            f"kill={self.fault}{'@' + self.victim if self.victim else ''} after={self.after_ms:.0f}ms",
            f"acked={self.acked:,} pending={self.pending} records={self.records:,}",
        ]
        if self.survived is not None:
            parts.append(f"survived={self.survived:,}")
        if self.restart_ms is not None:
            parts.append(f"restart={self.restart_ms:.0f}ms")
        if self.reopen_ms:
            parts.append("reopen=" + "+".join(f"{ms:.0f}" for ms in self.reopen_ms) + "ms")
        parts.append("OK" if not self.problems else "FAILED: " + _kinds(self.problems))
        return " ".join(parts)


@dataclass(slots=True)
class StressReport:
    """A whole run."""

    seed: int
    planned: int
    cycles: list[CycleResult] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False  # by Ctrl-C
    replay: str = ""  # the command that runs the failing episode again
    evidence: str = ""  # directory with a copy of the store from before it was opened again

    @property
    def failed(self) -> bool:
        """Whether any promise was broken."""
        return any(cycle.problems for cycle in self.cycles)

    @property
    def tested_nothing(self) -> bool:
        """Whether no cycle ran, so that nothing is known of any promise."""
        return not self.cycles

    @property
    def complete(self) -> bool:
        """Whether every planned cycle ran."""
        return len(self.cycles) >= self.planned

    def figures(self) -> dict[str, Any]:
        """The totals of the run."""
        problems = Counter(_COUNTED.get(each.kind, "errors") for cycle in self.cycles for each in cycle.problems)
        reopen = [ms for cycle in self.cycles for ms in cycle.reopen_ms]
        restart = [cycle.restart_ms for cycle in self.cycles if cycle.restart_ms is not None]
        return {
            "cycles": len(self.cycles),
            "planned": self.planned,
            "faults": dict(Counter(cycle.fault_and_volume for cycle in self.cycles)),
            "acked": sum(cycle.acked for cycle in self.cycles),
            **{name: problems[name] for name in (*dict.fromkeys(_COUNTED.values()), "errors")},
            "reopen_ms": _spread(reopen),
            "restart_ms": _spread(restart),
            "seconds": round(self.seconds, 1),
        }

    def lines(self) -> Iterator[str]:
        """The end of the report, for people."""
        figures = self.figures()
        faults = ", ".join(f"{count} {fault}" for fault, count in figures["faults"].items())
        yield f"{figures['cycles']} of {figures['planned']} cycles in {figures['seconds']} s: {faults}"
        yield f"acknowledged operations: {figures['acked']:,}"
        yield ", ".join(f"{name}: {figures[name]}" for name in (*dict.fromkeys(_COUNTED.values()), "errors"))
        for name, text in (("reopen_ms", "reopening"), ("restart_ms", "next job after a worker's death")):
            if (spread := figures[name]) is not None:
                slow = f"{spread['over a second']} of {spread['count']} over a second"
                yield f"{text}: median {spread['median']} ms, max {spread['max']} ms, {slow}"
        if not self.complete and not self.failed:
            why = "interrupted" if self.interrupted else "the time was up"
            yield f"{why} before all cycles had run"
        if self.tested_nothing:
            yield "FAILED: nothing was tested"
        for cycle in self.cycles:
            yield from _problem_lines(cycle)
        if self.failed:
            yield f"evidence: {self.evidence}"
            yield f"replay: {self.replay}"

    def to_json_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "seed": self.seed,
            "failed": self.failed or self.tested_nothing,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "figures": self.figures(),
            "evidence": self.evidence,
            "replay": self.replay,
            "cycles": [asdict(cycle) for cycle in self.cycles],
        }


def _problem_lines(cycle: CycleResult) -> Iterator[str]:
    for problem in cycle.problems:
        yield f"cycle {cycle.number}: {problem.kind}: {problem.text}"
    if cycle.problems and (history := cycle.problems[0].history):
        yield f"  the last {len(history)} operations on that key:"
        yield from (f"    {line}" for line in history)


def _kinds(problems: list[Problem]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(problem.kind for problem in problems).items())


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "median": round(median(values), 1),
        "max": round(max(values), 1),
        "over a second": sum(value > 1000 for value in values),
        "count": len(values),
    }
