"""The ratios that were promised, against the better of the LSM peers in the same run, and which of them hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lsmproc.bench.summary import BY_NAME, Summary
from lsmproc.bench.table import aligned


@dataclass(frozen=True, slots=True)
class Target:
    """One figure of one workload: how many times better than the peer it must be, and is meant to become."""

    workload: str
    figure: str
    least: float
    aim: float


TARGETS = (
    Target("fillrandom", "rate", 1.5, 2.5),
    Target("fillrandom", "done_rate", 1.0, 1.5),
    Target("overwrite", "rate", 1.5, 2.5),
    Target("overwrite", "done_rate", 1.0, 1.5),
    Target("overwrite", "p999", 2.0, 5.0),
    Target("fillbatch", "rate", 1.5, 3.0),
    Target("fillsync", "rate", 1.0, 1.2),
    Target("fillsync8", "rate", 1.2, 2.0),
    Target("readrandom", "rate", 1.0, 1.5),
    Target("readhot", "rate", 1.2, 4.0),
    Target("readpagecache", "rate", 1.0, 1.5),
    Target("readmissing", "rate", 0.5, 1.0),
    Target("multireadrandom", "rate", 1.0, 2.0),
    Target("readseq", "rate", 1.2, 2.0),
    Target("readreverse", "rate", 1.2, 2.0),
    Target("seekrandom", "rate", 1.0, 1.5),
    Target("fillrandom", "memory", 0.5, 1.0),
    Target("compact", "space", 1.0, 1.0),
    *(Target(f"ycsb-{letter}", "rate", 1.0, 1.0) for letter in "abcdef"),
)


def targets_report(summary: Summary) -> str:
    """A line for each target that the run can answer; empty if there is none."""
    rows = list(_rows(summary))
    titles = ["target", "figure", "at least", "aim", "is", ""]
    return "\n".join(aligned([titles, *rows])) if rows else ""


def _rows(summary: Summary) -> Iterator[list[str]]:
    for target in TARGETS:
        figure = BY_NAME[target.figure]
        ratio = summary.ratio_to_best(target.workload, figure)
        if ratio is not None:
            verdict = "aim" if ratio >= target.aim else "met" if ratio >= target.least else "BEHIND"
            bounds = (f"{target.least:.1f}x", f"{target.aim:.1f}x")
            yield [target.workload, figure.title, *bounds, f"{ratio:.2f}x", verdict]
