"""From the results of all sessions to one figure each: medians over the rounds, their spread, and ratios.

A ratio is always "so many times better than the peer": of operations per second ours to theirs, of times and sizes
theirs to ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from lsmproc.bench.systems import LSM_PEERS, OURS, is_ours

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of the report."""

    name: str
    title: str
    unit: str  # "/s", "us", "s" or "B"
    more_is_better: bool
    of: Callable[[Result], float | None]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds."""

    median: float
    low: float
    high: float


def _rate(result: Result, key: str) -> float | None:
    whole = result["whole"]
    return whole["operations"] / whole[key] if whole.get(key) else None


def _latency(name: str) -> Callable[[Result], float | None]:
    return lambda result: result["each"]["latency"].get(name)


def _usage(name: str) -> Callable[[Result], float | None]:
    return lambda result: result["usage"].get(name)


def _cpu(result: Result) -> float | None:
    operations = result["whole"]["operations"]
    return 1e6 * result["usage"]["cpu_seconds"] / operations if operations else None


def _foreground(result: Result) -> float | None:
    seconds, operations = result["whole"].get("foreground_cpu_seconds"), result["whole"]["operations"]
    return 1e6 * seconds / operations if seconds is not None and operations else None


def _memory(result: Result) -> float | None:
    peak = result["usage"].get("proportional_peak_bytes") or result["usage"].get("peak_bytes")
    return max(0, peak - result["usage"]["baseline_bytes"]) if peak else None


FIGURES = (
    Figure("rate", "ops/s", "/s", True, lambda result: _rate(result, "seconds")),
    Figure("done_rate", "all done", "/s", True, lambda result: _rate(result, "done_seconds")),
    Figure("p50", "p50", "us", False, _latency("p50")),
    Figure("p99", "p99", "us", False, _latency("p99")),
    Figure("p999", "p99.9", "us", False, _latency("p999")),
    Figure("worst", "worst", "us", False, _latency("worst")),
    Figure("cpu_seconds", "CPU s", "s", False, _usage("cpu_seconds")),
    Figure("cpu", "CPU/op", "us", False, _cpu),
    Figure("foreground", "own CPU", "us", False, _foreground),
    Figure("memory", "memory", "B", False, _memory),
    Figure("owner", "owner RSS", "B", False, _usage("owner_peak_bytes")),
    Figure("written", "written", "B", False, _usage("written_bytes")),
    Figure("space", "space", "B", False, _usage("space_bytes")),
    Figure("merge_rate", "merged/s", "/s", True, lambda result: result.get("own", {}).get("merged_per_second")),
)
BY_NAME = {figure.name: figure for figure in FIGURES}


class Summary:
    """Figures by workload and system."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.workloads = tuple(dict.fromkeys(result["workload"] for result in results))
        self.systems = tuple(dict.fromkeys(result["system"] for result in results))
        # Of lsmproc with several files of settings, the last counts: what it is after a change.
        self.ours = OURS if OURS in self.systems else next(filter(is_ours, reversed(self.systems)), OURS)
        self._results = results

    def results(self, workload: str, system: str) -> list[Result]:
        """Those of one workload and system, by round."""
        return [each for each in self._results if (each["workload"], each["system"]) == (workload, system)]

    def spread(self, workload: str, system: str, figure: Figure) -> Spread | None:
        """One figure; None if it does not apply or was not measured."""
        values = [value for each in self.results(workload, system) if (value := figure.of(each)) is not None]
        return Spread(median(values), min(values), max(values)) if values else None

    def ratio(self, workload: str, peer: str, figure: Figure) -> float | None:
        """How many times better than the peer we are."""
        ours, theirs = self.spread(workload, self.ours, figure), self.spread(workload, peer, figure)
        if ours is None or theirs is None:
            return None
        return better_by(ours.median, theirs.median, figure)

    def ratio_to_best(self, workload: str, figure: Figure) -> float | None:
        """The same against whichever of the LSM peers is better."""
        ratios = [self.ratio(workload, peer, figure) for peer in LSM_PEERS if peer in self.systems]
        return min((ratio for ratio in ratios if ratio is not None), default=None)


def better_by(ours: float, theirs: float, figure: Figure) -> float | None:
    """How many times better ``ours`` is."""
    above, below = (ours, theirs) if figure.more_is_better else (theirs, ours)
    return above / below if below else None


def shown(value: float | None, unit: str) -> str:
    """For people: 1,234 or 1.2M operations, microseconds, bytes."""
    if value is None:
        return "-"
    if unit == "us":
        return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
    if unit == "s":
        return f"{value:,.2f}"
    if unit == "B":
        return f"{value / (1 << 20):,.1f} MiB"
    return f"{value:,.0f}"
