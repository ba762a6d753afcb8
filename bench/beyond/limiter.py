"""``lsmproc bench limiter``: does the limiter keep its setting, and what do puts gain by it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from lsmproc.bench import saved_run
from lsmproc.bench.beyond.experiment import ask, backlog
from lsmproc.bench.options import LARGE, settings_of
from lsmproc.bench.page import whole_page
from lsmproc.bench.plots import Series, line_plot
from lsmproc.bench.progress import tell
from lsmproc.bench.text_table import aligned

# Large records: compactions of small ones would be bounded by the processor and not by the limiter.
DEFAULTS = {"num": 600_000, "write_rate": 5_000, **LARGE}
RATE = 16 << 20  # bytes per second
_MIB = 1 << 20
_WINDOW_SECONDS = 1.0
_SHORT_WINDOW_SECONDS = 0.5  # for how soon a change is felt
_WITHIN = 0.10

Window = tuple[float, float]  # its end in seconds, bytes per second


def run_limiter(options: argparse.Namespace) -> int:
    """Measure and tell; the exit status."""
    settings = settings_of(options, **DEFAULTS)
    rate = options.rate or RATE
    run = saved_run.new_run("limiter", settings.to_json_dict() | {"rate": rate})
    tell("fill a store")
    with backlog(settings, options.dir) as copied:
        tell("bytes per second")
        with copied() as directory:
            run["accuracy"] = ask("limit", settings, directory, rate=rate)
        for name, setting in (("without", None), ("with", rate)):
            tell(f"puts {name} a limiter")
            with copied() as directory:
                run[name] = ask("paced puts", settings, directory, rate=setting)
    tell("")
    if options.json:
        saved_run.write(run, options.json)
    print(report(run))
    if options.html:
        Path(options.html).write_text(page(run), encoding="utf-8")
    return 0


def report(run: dict[str, Any]) -> str:
    """Both parts as text."""
    return "\n".join([*_accuracy_lines(run["accuracy"]), "", *_put_lines(run)])


def page(run: dict[str, Any]) -> str:
    """Both parts as one page with plots."""
    parts = ["<h1>The rate limiter</h1>", f"<pre>{report(run)}</pre>", '<div class="plots">']
    phases = run["accuracy"]["phases"]
    written = Series("written", [(at, rate / _MIB) for at, rate in _windows(_written(run["accuracy"]), 1.0)])
    setting = [(at, phase["rate"] / _MIB) for phase in phases for at in (phase["from"], phase["until"])]
    lines = [written, Series("setting", setting)]
    parts.append(line_plot("MiB per second: the last second, and the setting", lines, ()))
    for name in ("without", "with"):
        timeline = run[name]["timeline"]
        lines = [
            Series("worst", [(at, worst) for at, _, worst in timeline]),
            Series("p99", [(at, p99) for at, p99, _ in timeline], dashed=True),
        ]
        spans = [(start, stop, "compaction") for start, stop in run[name]["compacting"]]
        parts.append(line_plot(f"puts {name} a limiter: microseconds over time", lines, spans, log=True))
    return whole_page("The rate limiter", [*parts, "</div>"])


def _accuracy_lines(accuracy: dict[str, Any]) -> Iterator[str]:
    rows = [["setting MiB/s", "seconds", "median", "lowest s", "highest s", "granted", "felt after", ""]]
    for number, phase in enumerate(accuracy["phases"]):
        rate, begun, until = phase["rate"], phase["from"], phase["until"]
        windows = [
            speed
            for at, speed in _windows(_written(accuracy), _WINDOW_SECONDS)
            # The first second belongs to the setting before, or to the start of the processes.
            if begun + 2 * _WINDOW_SECONDS <= at <= until
        ]
        if not windows:
            rows.append([f"{rate / _MIB:.1f}", f"{until - begun:.1f}", *["-"] * 5, "too short: raise --num"])
            continue
        felt = _felt_after(_written(accuracy), rate, begun, until)
        off = max(abs(speed / rate - 1) for speed in windows)
        kept = off <= _WITHIN and (number == 0 or (felt is not None and felt <= 1))
        rows.append(
            [
                f"{rate / _MIB:.1f}",
                f"{until - begun:.1f}",
                *(f"{speed / _MIB:.2f}" for speed in (median(windows), min(windows), max(windows))),
                _granted(accuracy["samples"], begun, until),
                "-" if number == 0 or felt is None else f"{felt:.2f} s",
                "kept" if kept else f"NOT KEPT: {100 * off:.0f} % off",
            ]
        )
    yield from aligned(rows)
    yield "Bytes that the workers handed to the kernel in any second while work was waiting; target: within 10 %."
    yield "Granted: what the limiter counts, median of the same seconds."
    yield f"Felt after: from the change until {_SHORT_WINDOW_SECONDS} s at the new rate are over."


def _put_lines(run: dict[str, Any]) -> Iterator[str]:
    names = list(run["without"]["latency"])
    rows = [["puts", "done", *names, "compacting s", "stalled s", "debt left MiB"]]
    for name in ("without", "with"):
        result = run[name]
        seconds = sum(stop - start for start, stop in result["compacting"])
        rows.append(
            [
                f"{name} a limiter",
                f"{result['puts']:,}",
                *(f"{result['latency'][each]:,.1f}" for each in names),
                f"{seconds:.1f}",
                f"{result['stalled_seconds']:.2f}",
                f"{result['debt_bytes'] / _MIB:.0f}",
            ]
        )
    settings = run["settings"]
    yield from aligned(rows)
    rates = f"{settings['write_rate']:,} puts per second beside a backlog, limiter {settings['rate']:,} B/s"
    yield f"Microseconds; {rates}."


def _written(accuracy: dict[str, Any]) -> list[list[float]]:
    return [[at, written] for at, written, _ in accuracy["samples"]]


def _granted(samples: list[list[float]], begun: float, until: float) -> str:
    windows = _windows([[at, granted] for at, _, granted in samples], _WINDOW_SECONDS)
    speeds = [speed for at, speed in windows if begun + 2 * _WINDOW_SECONDS <= at <= until]
    return f"{median(speeds) / _MIB:.2f}" if speeds else "-"


def _windows(samples: list[list[float]], seconds: float) -> list[Window]:
    """Bytes per second over the window that ends at each sample, between samples as if written evenly."""
    windows: list[Window] = []
    first = 0
    for at, total in samples:
        start = at - seconds
        if start < samples[0][0]:
            continue
        while samples[first + 1][0] <= start:
            first += 1
        (left, before), (right, after) = samples[first], samples[first + 1]
        begun = before + (after - before) * (start - left) / (right - left)
        windows.append((at, (total - begun) / seconds))
    return windows


def _felt_after(samples: list[list[float]], rate: int, begun: float, until: float) -> float | None:
    """From the change to the start of the first short window, all within the setting."""
    for at, speed in _windows(samples, _SHORT_WINDOW_SECONDS):
        start = at - _SHORT_WINDOW_SECONDS
        if begun <= start and at <= until and abs(speed / rate - 1) <= _WITHIN:
            return at - begun
    return None
