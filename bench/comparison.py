"""Two runs of ours side by side: what became faster and what slower. Differences within the spread say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmproc.bench.summary import BY_NAME, Figure, Spread, Summary, better_by, shown
from lsmproc.bench.systems import OURS
from lsmproc.bench.text_table import aligned

_COMPARED = ("rate", "done_rate", "p99", "p999", "worst", "cpu", "foreground", "memory", "space")


def compare(new: dict[str, Any], old: dict[str, Any]) -> str:
    """A table of all figures that both runs hold; settings that differ are named first."""
    lines = [f"Against the run of {old['taken']}; above 1x is better now, * is outside the spread of both"]
    lines += [
        f"  settings differ: {name} was {old['settings'].get(name)}, is {value}"
        for name, value in new["settings"].items()
        if old["settings"].get(name) != value
    ]
    rows = [
        ["workload", "figure", "was", "is", "better by", ""],
        *_rows(Summary(new["results"]), Summary(old["results"])),
    ]
    return "\n".join([*lines, *aligned(rows)])


def _rows(new: Summary, old: Summary) -> Iterator[list[str]]:
    for workload in new.workloads:
        for figure in map(BY_NAME.__getitem__, _COMPARED):
            was, now = old.spread(workload, OURS, figure), new.spread(workload, OURS, figure)
            if was is not None and now is not None:
                yield _row(workload, figure, was, now)


def _row(workload: str, figure: Figure, was: Spread, now: Spread) -> list[str]:
    ratio = better_by(now.median, was.median, figure)
    apart = now.low > was.high or now.high < was.low
    times = "-" if ratio is None else f"{ratio:.2f}x"
    medians = (shown(was.median, figure.unit), shown(now.median, figure.unit))
    return [workload, figure.title, *medians, times, "*" if apart else ""]
