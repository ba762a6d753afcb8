"""The figures that were promised and which of them this run reaches.

Most are ratios to the better of the LSM peers in the same run, some are ratios to one peer, and some are bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lsmproc.bench.summary import BY_NAME, Figure, Summary, shown
from lsmproc.bench.systems import LSM_PEERS, OURS
from lsmproc.bench.text_table import aligned

TITLES = ("target", "figure", "against", "at least", "aim", "is", "")


@dataclass(frozen=True, slots=True)
class Target:
    """One figure of one workload: how many times better than the peer it must be, and is meant to become.

    Against "itself", ``least`` and ``aim`` are bounds of our own figure, in its unit.
    """

    workload: str
    figure: str
    least: float
    aim: float
    against: Literal["best", "rocksdict", "lmdb", "itself"] = "best"


TARGETS = (
    Target("fillrandom", "rate", 1.5, 2.5),
    Target("fillrandom", "done_rate", 1.0, 1.5),
    Target("overwrite", "rate", 1.5, 2.5),
    Target("overwrite", "done_rate", 1.0, 1.5),
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
    Target("overwrite", "p999", 2.0, 5.0),  # puts while compactions run
    Target("fillrandom", "worst", 20_000, 5_000, "itself"),
    Target("overwrite", "worst", 20_000, 5_000, "itself"),
    Target("compact", "merge_rate", 1_000_000, 1_500_000, "itself"),
    *(
        # "No more than twice rocksdict's" is half as good.
        Target(workload, "memory", 0.5, 1.0, "rocksdict")
        for workload in ("fillrandom", "overwrite", "readrandom", "compact")
    ),
    Target("compact", "space", 1.0, 1.0),
    *(Target(f"ycsb-{letter}", "rate", 1.0, 1.0) for letter in "abcdef"),
    *(
        Target(workload, "rate", 1.0, 1.0, "lmdb")
        for workload in ("fillseq", "fillrandom", "overwrite", "fillbatch", "fillsync")
    ),
    Target("readhot", "rate", 0.5, 1.0, "lmdb"),
)


def targets_report(summary: Summary) -> str:
    """A line for each target that the run can answer, and how many are reached; empty if there is none."""
    rows = list(target_rows(summary))
    if not rows:
        return ""
    behind = sum(row[-1] == "NOT REACHED" for row in rows)
    aims = sum(row[-1] == "aim reached" for row in rows)
    end = f"{len(rows) - behind} of {len(rows)} targets are reached, {aims} of them with the aim; {behind} are not."
    return "\n".join([*aligned([list(TITLES), *rows]), end])


def target_rows(summary: Summary) -> Iterator[list[str]]:
    """The cells of each target that the run can answer."""
    for target in TARGETS:
        figure = BY_NAME[target.figure]
        value = _value(target, figure, summary)
        if value is None:
            continue
        higher = target.against != "itself" or figure.more_is_better
        reached, aimed = ((value >= bound) if higher else (value <= bound) for bound in (target.least, target.aim))
        verdict = "aim reached" if aimed else "reached" if reached else "NOT REACHED"
        show = _in_units if target.against == "itself" else _as_ratio
        cells = [show(each, figure) for each in (target.least, target.aim, value)]
        yield [target.workload, figure.title, _opponent(target, figure, summary), *cells, verdict]


def _value(target: Target, figure: Figure, summary: Summary) -> float | None:
    match target.against:
        case "best":
            return summary.ratio_to_best(target.workload, figure)
        case "itself":
            spread = summary.spread(target.workload, OURS, figure)
            return None if spread is None else spread.median
        case peer:
            return summary.ratio(target.workload, peer, figure)


def _opponent(target: Target, figure: Figure, summary: Summary) -> str:
    if target.against != "best":
        return "bound" if target.against == "itself" else target.against
    ratios = {peer: summary.ratio(target.workload, peer, figure) for peer in LSM_PEERS}
    known = {peer: ratio for peer, ratio in ratios.items() if ratio is not None}
    return min(known, key=lambda peer: known[peer])


def _as_ratio(value: float, _figure: Figure) -> str:
    return f"{value:.2f}x"


def _in_units(value: float, figure: Figure) -> str:
    return f"{shown(value, figure.unit)} {figure.unit}"
