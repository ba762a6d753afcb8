"""What a run found: one line for each cycle, figures at the end, everything as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from lsmproc.stress.cycle_result import CycleResult

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
    "gave up": "gave up",
}
_SPREADS = (
    ("reopen_ms", "reopening"),
    ("restart_ms", "next job after a worker's death"),
    ("gone_ms", "last process of a dead owner"),
    ("resume_ms", "writing again once a full disk has room"),
)


@dataclass(frozen=True, slots=True)
class NotTried:
    """What was asked for, and the machine cannot do."""

    what: str
    count: int
    why: str

    def line(self) -> str:
        """For people."""
        return f"NOT TRIED: {self.count} {self.what}: {self.why}"


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
    points: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by fault: those that are armed in turn
    not_tried: list[NotTried] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether any promise was broken, or a point was never reached."""
        return self.broken or bool(self.unreached())

    @property
    def broken(self) -> bool:
        """Whether any promise was broken."""
        return any(cycle.problems for cycle in self.cycles)

    def unreached(self) -> list[str]:
        """The points that were armed and never reached, in a run that has armed each of its kind."""
        found = []
        for fault, names in self.points.items():
            table = self.point_table(fault)
            if names and set(names) <= table.keys():
                found += [name for name in names if not table[name][1]]
        return found

    def point_table(self, fault: str) -> dict[str, tuple[int, int]]:
        """By point: how often it was armed, and how often reached."""
        armed = Counter(cycle.point for cycle in self.cycles if cycle.fault == fault)
        hit = Counter(cycle.point for cycle in self.cycles if cycle.fault == fault and cycle.hit)
        return {name: (armed[name], hit[name]) for name in self.points.get(fault, ()) if armed[name]}

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
        resume = [cycle.resume_ms for cycle in self.cycles if cycle.resume_ms is not None]
        return {
            "cycles": len(self.cycles),
            "planned": self.planned,
            "faults": dict(Counter(cycle.fault_and_volume for cycle in self.cycles)),
            "acked": sum(cycle.acked for cycle in self.cycles),
            **{name: problems[name] for name in (*dict.fromkeys(_COUNTED.values()), "errors")},
            "reopen_ms": _spread(reopen),
            "restart_ms": _spread(restart),
            "gone_ms": _spread([ms for cycle in self.cycles for ms in cycle.gone_ms]),
            "resume_ms": _spread(resume),
            "damages": dict(Counter(cycle.outcome for cycle in self.cycles if cycle.outcome)),
            "opened again": sum("opened again" in cycle.victim for cycle in self.cycles),
            "points": {fault: self.point_table(fault) for fault in self.points if self.point_table(fault)},
            "seconds": round(self.seconds, 1),
        }

    def lines(self) -> Iterator[str]:
        """The end of the report, for people."""
        figures = self.figures()
        faults = ", ".join(f"{count} {fault}" for fault, count in figures["faults"].items())
        yield f"{figures['cycles']} of {figures['planned']} cycles in {figures['seconds']} s: {faults}"
        yield f"acknowledged operations: {figures['acked']:,}"
        yield ", ".join(f"{name}: {figures[name]}" for name in (*dict.fromkeys(_COUNTED.values()), "errors"))
        for name, text in _SPREADS:
            if (spread := figures[name]) is not None:
                slow = f"{spread['over a second']} of {spread['count']} over a second"
                yield f"{text}: median {spread['median']} ms, max {spread['max']} ms, {slow}"
        if figures["damages"]:
            yield "damaged files: " + ", ".join(f"{count} {what}" for what, count in figures["damages"].items())
        if figures["opened again"]:
            yield f"stores that had to be opened again after a disk error: {figures['opened again']}"
        for fault, table in figures["points"].items():
            yield f"{fault}: armed, reached"
            yield from (f"  {name:32} {armed:3} {hit:3}" for name, (armed, hit) in sorted(table.items()))
        yield from (each.line() for each in self.not_tried)
        if not self.complete and not self.broken:
            why = "interrupted" if self.interrupted else "the time was up"
            yield f"{why} before all cycles had run"
        if self.tested_nothing:
            yield "FAILED: nothing was tested"
        for cycle in self.cycles:
            yield from _problem_lines(cycle)
        yield from (f"FAILED: the point {name} was never reached" for name in self.unreached())
        if self.broken:
            yield f"evidence: {self.evidence}"
        if self.failed:
            yield f"replay: {self.replay}"

    def to_json_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "seed": self.seed,
            "failed": self.failed or self.tested_nothing,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "figures": self.figures(),
            "unreached": self.unreached(),
            "not_tried": [asdict(each) for each in self.not_tried],
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


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "median": round(median(values), 1),
        "max": round(max(values), 1),
        "over a second": sum(value > 1000 for value in values),
        "count": len(values),
    }
