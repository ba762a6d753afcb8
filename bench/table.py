"""The report on the terminal: a table for each workload, and one line with the ratios of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lsmproc.bench.summary import BY_NAME, FIGURES, Figure, Summary, shown
from lsmproc.bench.systems import LSM_PEERS
from lsmproc.bench.text_table import aligned
from lsmproc.bench.workloads import what

_LEFT_OUT = ("owner", "merge_rate")  # in JSON and on the page


def report(run: dict[str, Any], summary: Summary) -> str:
    """All of it as text."""
    lines = [*_settings_lines(run), ""]
    for workload in summary.workloads:
        lines += [*_workload_lines(workload, summary), ""]
    lines += _ratio_lines(summary)
    return "\n".join(lines)


def _settings_lines(run: dict[str, Any]) -> Iterator[str]:
    machine, settings = run["machine"], run["settings"]
    yield f"{run['taken']}  {machine['processors']} processors, Python {machine['python']}, {machine['platform']}"
    yield ", ".join(f"{name}={value}" for name, value in settings.items())
    for system, described in run["systems"].items():
        listed = ", ".join(f"{name}={value}" for name, value in described["settings"].items())
        yield f"{system} {described['version']}: {listed}"
    yield "ops/s, CPU and bytes are from a pass with one clock, latencies (us) from another with a clock around each."
    yield "CPU is of all processes of a system, also those that have ended; own CPU of the calling thread alone."
    yield "Memory is what all processes needed at most beside the benchmark's own, shared pages counted once."


def _workload_lines(workload: str, summary: Summary) -> Iterator[str]:
    yield f"{workload}: {what(workload)}"
    figures = [figure for figure in FIGURES if figure.name not in _LEFT_OUT and _known(workload, summary, figure)]
    titles = ["  system", *(figure.title for figure in figures), "rounds ops/s", f"{summary.ours} is"]
    rows = [titles, *(_row(workload, system, summary, figures) for system in summary.systems)]
    yield from aligned(rows)


def _row(workload: str, system: str, summary: Summary, figures: Iterable[Figure]) -> list[str]:
    cells = [f"  {system}"]
    for figure in figures:
        spread = summary.spread(workload, system, figure)
        cells.append(shown(None if spread is None else spread.median, figure.unit))
    rate = BY_NAME["rate"]
    spread = summary.spread(workload, system, rate)
    cells.append(f"{shown(spread.low, rate.unit)} to {shown(spread.high, rate.unit)}" if spread else "-")
    cells.append("" if system == summary.ours else _times(summary.ratio(workload, system, rate)))
    return cells


def _ratio_lines(summary: Summary) -> Iterator[str]:
    """Ours against each peer and against the better LSM peer, one line for each workload."""
    peers = [system for system in summary.systems if system != summary.ours]
    if summary.ours not in summary.systems or not peers:
        return
    yield "How many times better than the peer (ops/s), and than the better one of " + " and ".join(LSM_PEERS)
    rate, wanted = BY_NAME["rate"], ("rate", "done_rate", "p999", "worst", "memory", "space")
    titles = ["workload", *peers, *(f"best {BY_NAME[name].title}" for name in wanted)]
    rows = [titles]
    for workload in summary.workloads:
        ratios = [summary.ratio(workload, peer, rate) for peer in peers]
        best = [summary.ratio_to_best(workload, BY_NAME[name]) for name in wanted]
        rows.append([workload, *map(_times, ratios), *map(_times, best)])
    yield from aligned(rows)


def _known(workload: str, summary: Summary, figure: Figure) -> bool:
    return any(summary.spread(workload, system, figure) is not None for system in summary.systems)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"
