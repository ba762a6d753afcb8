"""``lsmproc bench backlog``: one compaction process against two on the same backlog, in turn."""

from __future__ import annotations

import argparse
import os
from statistics import median
from typing import Any

from lsmproc.bench import saved_run
from lsmproc.bench.beyond.experiment import WRITE_BUFFER_BYTES, ask, backlog
from lsmproc.bench.options import rounds_of, settings_of
from lsmproc.bench.progress import tell
from lsmproc.bench.text_table import aligned

NUM = 1_000_000
_WORKERS = (1, 2)
_TARGET = 1.6


def run_backlog(options: argparse.Namespace) -> int:
    """Measure and tell; the exit status."""
    settings, rounds = settings_of(options, num=NUM, write_buffer_bytes=WRITE_BUFFER_BYTES), rounds_of(options)
    run = saved_run.new_run("backlog", settings.to_json_dict()) | {"results": []}
    tell("fill a store")
    with backlog(settings, options.dir) as copied:
        for number in range(rounds):
            for workers in reversed(_WORKERS) if number % 2 else _WORKERS:
                tell(f"round {number + 1} of {rounds}: {workers} compaction processes")
                with copied() as directory:
                    run["results"].append({"workers": workers} | ask("drain", settings, directory, workers=workers))
                if options.json:
                    saved_run.write(run, options.json)
    tell("")
    print(report(run))
    return 0


def report(run: dict[str, Any]) -> str:
    """The figures and whether the target is reached."""
    seconds = {}
    rows = [["processes", "seconds", "lowest", "highest", "CPU s", "records/s each", "compactions"]]
    for workers in _WORKERS:
        results = [each for each in run["results"] if each["workers"] == workers]
        times = [each["seconds"] for each in results]
        seconds[workers] = median(times)
        pace = median(each["merged_records"] / max(each["busy_seconds"], 1e-9) for each in results)
        rows.append(
            [
                str(workers),
                *(f"{value:.2f}" for value in (seconds[workers], min(times), max(times))),
                f"{median(each['cpu_seconds'] for each in results):.2f}",
                f"{pace:,.0f}",
                str(round(median(each["compactions"] for each in results))),
            ]
        )
    one, two = _WORKERS
    ratio = seconds[one] / seconds[two]
    verdict = "reached" if ratio >= _TARGET else "NOT REACHED"
    cores = os.cpu_count() or 1
    note = "" if cores > two else f" Only {cores} cores: the owner, whoever else runs, and both processes share them."
    return "\n".join([*aligned(rows), f"two are {ratio:.2f}x as fast as one; target {_TARGET}x: {verdict}.{note}"])
