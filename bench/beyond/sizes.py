"""``lsmproc bench sizes``: what an operation, a store's memory and a written byte cost as the store grows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from lsmproc.bench import saved_run
from lsmproc.bench.beyond.experiment import ask
from lsmproc.bench.errors import SessionFailedError
from lsmproc.bench.options import counts_of, settings_of, systems_of
from lsmproc.bench.page import whole_page
from lsmproc.bench.plots import Series, growth_plot
from lsmproc.bench.progress import tell
from lsmproc.bench.rounds import Rounds
from lsmproc.bench.settings import MIB, Settings
from lsmproc.bench.summary import BY_NAME, Summary
from lsmproc.bench.systems import OURS
from lsmproc.bench.text_table import aligned

WORKLOADS = ("fillrandom", "overwrite", "readrandom", "readmissing", "seekrandom", "readseq")
_READS = 200_000
_MEASURED = ("rate", "memory", "written")


def run_sizes(options: argparse.Namespace) -> int:
    """Measure and tell; the exit status."""
    if options.systems is None:
        options.systems = OURS
    counts, systems, rounds = counts_of(options), systems_of(options, tell), options.rounds or 1
    each = [settings_of(argparse.Namespace(**vars(options) | {"num": count}), reads=_READS) for count in counts]
    run = saved_run.new_run("sizes", each[0].to_json_dict() | {"num": None}) | {"sizes": []}
    for settings in each:
        run["sizes"].append(_measure(settings, systems, rounds, options.dir))
        if options.json:
            saved_run.write(run, options.json)
        if options.html:
            Path(options.html).write_text(page(run), encoding="utf-8")
    tell("")
    print(report(run))
    return 0


def _measure(settings: Settings, systems: list[str], rounds: int, directory: str | None) -> dict[str, Any]:
    results: list[dict[str, Any]] = []

    def tell_here(text: str) -> None:
        tell(f"{settings.num:,} records: {text}")

    with Rounds(settings, systems, directory, tell_here) as sessions:
        sessions.load(WORKLOADS)
        for few in sessions.run(WORKLOADS, rounds, set(), lambda count: f"{count} done"):
            results += few
        tell_here("an open, idle store")
        if sessions.failed:
            raise SessionFailedError(sessions.failed[0])
        idle = ask("idle", settings, sessions.loaded(OURS)) if OURS in systems else None
    return {"num": settings.num, "raw_bytes": settings.raw_bytes, "results": results, "idle": idle}


def report(run: dict[str, Any]) -> str:
    """The table of all sizes, the growth of each line, and where the memory of an idle store is."""
    sizes = run["sizes"]
    rows = [["", *(f"{size['num']:,}" for size in sizes), "times"]]
    for name, values in _lines(run):
        known = [value for value in values if value]
        growth = f"{known[-1] / known[0]:.2f}x" if len(known) > 1 else ""
        rows.append([name, *("-" if value is None else f"{value:,.2f}" for value in values), growth])
    lines = aligned(rows)
    if any(size["idle"] for size in sizes):
        lines += ["", "The memory of an open, idle store, MiB", *aligned(list(_idle_rows(sizes)))]
        lines.append("Pages of several processes count once. Rest: workers, Python objects, allocator, interpreter.")
    return "\n".join(lines)


def page(run: dict[str, Any]) -> str:
    """The table, and everything on one plot: how many times more than with the smallest store."""
    nums = [size["num"] for size in run["sizes"]]
    grown = [
        Series(name, [(num, value / values[0]) for num, value in zip(nums, values, strict=True) if value])
        for name, values in _lines(run)
        if values[0]
    ]
    title = "cost against size: times as much as with the smallest store"
    parts = ["<h1>Cost against size</h1>", f"<pre>{escape(report(run))}</pre>", growth_plot(title, "records", grown)]
    settings = ", ".join(f"{name}={value}" for name, value in run["settings"].items())
    return whole_page("Cost against size", [*parts, f"<p>{escape(settings)}</p>"])


def _lines(run: dict[str, Any]) -> Iterator[tuple[str, list[float | None]]]:
    """Each line of the report: its name, and a value for each size."""
    summaries = [Summary(size["results"]) for size in run["sizes"]]
    sizes = run["sizes"]
    for system in summaries[0].systems:
        for workload in WORKLOADS:
            rates = [summary.spread(workload, system, BY_NAME["rate"]) for summary in summaries]
            yield f"{system} {workload}, us", [None if rate is None else 1e6 / rate.median for rate in rates]
        done = [summary.spread("fillrandom", system, BY_NAME["done_rate"]) for summary in summaries]
        yield f"{system} fillrandom all done, us", [None if rate is None else 1e6 / rate.median for rate in done]
        memory = [summary.spread("fillrandom", system, BY_NAME["memory"]) for summary in summaries]
        yield f"{system} memory of fillrandom, MiB", [None if each is None else each.median / MIB for each in memory]
        written = [summary.spread("fillrandom", system, BY_NAME["written"]) for summary in summaries]
        yield (
            f"{system} written to disk, times the records",
            [
                None if each is None else each.median / size["raw_bytes"]
                for each, size in zip(written, sizes, strict=True)
            ],
        )
    if OURS in summaries[0].systems:
        own = [[each["own"] for each in size["results"] if each["system"] == OURS] for size in sizes]
        for name, title in (("write_amplification", "write amplification"), ("levels", "levels that hold tables")):
            yield f"{OURS} {title}", [next((each[name] for each in few if each.get(name)), None) for few in own]


def _idle_rows(sizes: list[dict[str, Any]]) -> Iterator[list[str]]:
    known = [size for size in sizes if size["idle"]]
    yield ["", *(f"{size['num']:,}" for size in known)]
    for name, title in (
        ("opened_bytes", "just opened"),
        ("read_bytes", "after reads of every block"),
        ("index_bytes", "  of it index"),
        ("filter_bytes", "  of it filters"),
        ("block_cache_bytes", "  of it block cache"),
        ("row_cache_bytes", "  of it row cache"),
    ):
        yield [title, *(f"{size['idle'][name] / MIB:,.1f}" for size in known)]
    parts = ("index_bytes", "filter_bytes", "block_cache_bytes", "row_cache_bytes")
    yield [
        "  rest",
        *(f"{(size['idle']['read_bytes'] - sum(size['idle'][part] for part in parts)) / MIB:,.1f}" for size in known),
    ]
    yield ["on disk", *(f"{size['idle']['table_bytes'] / MIB:,.1f}" for size in known)]
