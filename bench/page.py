"""The report as one HTML page that needs nothing else: tables, ratios, and plots over time as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from lsmproc.bench.comparison import compare
from lsmproc.bench.plots import Series, bar_plot, line_plot
from lsmproc.bench.summary import BY_NAME, FIGURES, Summary, shown
from lsmproc.bench.systems import LSM_PEERS, OURS
from lsmproc.bench.targets import TITLES, target_rows
from lsmproc.bench.workloads import what

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; margin: 0 1rem 1rem 0 } figcaption { font-size: 12px; color: #444 }
svg text { font: 10px system-ui, sans-serif; fill: #444 } tr.ours td { font-weight: 600 } td small { color: #777 }
.plots { overflow-x: auto }
"""


def page(run: dict[str, Any], summary: Summary, old: dict[str, Any] | None = None) -> str:
    """The whole page; with ``old``, another run that this one is compared with."""
    parts = [*_head(run), *_targets(summary), *_ratios(summary), *_compared(run, old)]
    for workload in summary.workloads:
        parts += [*_table(workload, summary), '<div class="plots">', *_plots(workload, summary), "</div>"]
    return whole_page("lsmproc and its peers", parts)


def whole_page(title: str, parts: Iterable[str]) -> str:
    """One document with the style of all pages."""
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _head(run: dict[str, Any]) -> Iterator[str]:
    machine = run["machine"]
    yield "<h1>lsmproc and its peers</h1>"
    where = f"{machine['processors']} processors, Python {machine['python']}, {machine['platform']}"
    yield f"<p>{escape(run['taken'])}, {escape(where)}. Medians over the rounds, small: lowest and highest."
    yield " Rates, processor time, memory and bytes are from a pass with one clock around many operations;"
    yield " latencies from another with a clock around each.</p>"
    yield "<table><tr><th>system</th><th>version</th><th>settings</th></tr>"
    yield _cells("this run", "", ", ".join(f"{key}={value}" for key, value in run["settings"].items()))
    for system, described in run["systems"].items():
        settings = ", ".join(f"{key}={value}" for key, value in described["settings"].items())
        yield _cells(system, described["version"], settings)
    yield "</table>"


def _cells(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _targets(summary: Summary) -> Iterator[str]:
    rows = list(target_rows(summary))
    if rows:
        yield f"<h2>Targets</h2><table><tr>{''.join(f'<th>{title}</th>' for title in TITLES)}</tr>"
        for row in rows:
            style = ' style="color:#c8372d"' if row[-1] == "NOT REACHED" else ""
            yield f"<tr{style}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        yield "</table>"


def _compared(run: dict[str, Any], old: dict[str, Any] | None) -> Iterator[str]:
    if old is not None:
        yield f"<h2>Against an earlier run</h2><pre>{escape(compare(run, old))}</pre>"


def _ratios(summary: Summary) -> Iterator[str]:
    if OURS not in summary.systems or not any(peer in summary.systems for peer in LSM_PEERS):
        return
    yield '<h2>Ratios to the better of plyvel and rocksdict</h2><div class="plots">'
    for name in ("rate", "done_rate", "p999", "worst", "memory"):
        figure = BY_NAME[name]
        bars = [(workload, summary.ratio_to_best(workload, figure)) for workload in summary.workloads]
        kept = [bar for bar in bars if bar[1] is not None]
        yield bar_plot(f"{figure.title}: right of the line is better than the peer", kept)
    yield "</div>"


def _table(workload: str, summary: Summary) -> Iterator[str]:
    yield f"<h2>{workload}</h2><p>{escape(what(workload))}</p><table>"
    yield f"<tr><th>system</th>{''.join(f'<th>{figure.title}</th>' for figure in FIGURES)}<th>lsmproc is</th></tr>"
    for system in summary.systems:
        cells = [f"<td>{system}</td>"]
        for figure in FIGURES:
            spread = summary.spread(workload, system, figure)
            if spread is None:
                cells.append("<td>-</td>")
                continue
            middle, low, high = (shown(value, figure.unit) for value in (spread.median, spread.low, spread.high))
            cells.append(f"<td>{middle}{f'<br><small>{low} to {high}</small>' if low != high else ''}</td>")
        ratio = None if system == OURS else summary.ratio(workload, system, BY_NAME["rate"])
        cells.append(f"<td>{'' if ratio is None else f'{ratio:.2f}x'}</td>")
        yield f"<tr{' class=ours' if system == OURS else ''}>{''.join(cells)}</tr>"
    yield "</table>"


def _plots(workload: str, summary: Summary) -> Iterator[str]:
    """Of the last round: throughput of all systems in one plot, latency of each LSM system in its own."""
    by_system = {system: summary.results(workload, system) for system in summary.systems}
    last = {system: results[-1] for system, results in by_system.items() if results}
    rates = [Series(name, [(at, rate) for at, rate in each["whole"]["timeline"]]) for name, each in last.items()]
    rates = [series for series in rates if len(series.points) > 1]
    if rates:
        yield line_plot("operations per second over time", rates, (), log=False)
    for name, each in last.items():
        timeline = each["each"]["timeline"]
        if name not in (OURS, *LSM_PEERS) or len(timeline) <= 1:
            continue
        worst = Series(f"{name} worst", [(at, value) for at, _, value in timeline])
        middle = Series(f"{name} median", [(at, value) for at, value, _ in timeline], dashed=True)
        spans = [(start, stop, kind) for start, stop, kind in each["each"]["activity"]]
        yield line_plot(f"{name}: microseconds over time", [worst, middle], spans, log=True)
