"""``lsmproc bench foreground``: what a pure Python thread loses while compaction runs, in processes and in threads."""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import median
from typing import Any

from lsmproc.bench import saved_run
from lsmproc.bench.beyond.experiment import WRITE_BUFFER_BYTES, ask, backlog
from lsmproc.bench.options import rounds_of, settings_of
from lsmproc.bench.progress import tell
from lsmproc.bench.text_table import aligned

NUM = 1_000_000
_KINDS = ("process", "thread")  # what is promised, and what it is promised against
_TARGET = 0.10


def run_foreground(options: argparse.Namespace) -> int:
    """Measure and tell; the exit status."""
    settings, rounds = settings_of(options, num=NUM, write_buffer_bytes=WRITE_BUFFER_BYTES), rounds_of(options)
    kinds = _KINDS if options.background is None else (options.background,)
    run = saved_run.new_run("foreground", settings.to_json_dict()) | {"results": []}
    tell("fill a store")
    with backlog(settings, options.dir) as copied:
        for number in range(rounds):
            for kind in kinds:
                tell(f"round {number + 1} of {rounds}: compaction in a {kind}")
                with copied() as directory:
                    answer = ask("loop", replace(settings, background=kind), directory)
                run["results"].append({"background": kind} | answer)
                if options.json:
                    saved_run.write(run, options.json)
    tell("")
    print(report(run))
    return 0


def report(run: dict[str, Any]) -> str:
    """The loss of each kind, and whether the target is reached."""
    rows = [["compaction in a", "turns/s alone", "beside", "loss", "lowest", "highest", "slices", "own CPU loss"]]
    verdicts = []
    for kind in dict.fromkeys(each["background"] for each in run["results"]):
        results = [each for each in run["results"] if each["background"] == kind and each["beside"]]
        if not results:
            verdicts.append(f"{kind}: the compaction was over before a slice of the loop; raise --num")
            continue
        losses = [_loss(each, 0) for each in results]
        alone, beside = (median(turns for each in results for turns, _ in each[name]) for name in ("alone", "beside"))
        rows.append(
            [
                kind,
                f"{alone:,.0f}",
                f"{beside:,.0f}",
                *(f"{100 * loss:.1f} %" for loss in (median(losses), min(losses), max(losses))),
                str(sum(len(each["beside"]) for each in results)),
                f"{100 * median(_loss(each, 1) for each in results):.1f} %",
            ]
        )
        if kind == "process":
            verdict = "reached" if median(losses) < _TARGET else "NOT REACHED"
            verdicts.append(f"less than {100 * _TARGET:.0f} % is the target of processes: {verdict}")
    notes = [
        "own CPU loss: for each second of processor time that the loop got. On a busy machine it says more of",
        "processes than the loss by the clock; it does not see how long a thread waits for the interpreter.",
    ]
    return "\n".join([*aligned(rows), *verdicts, *notes])


def _loss(result: dict[str, Any], column: int) -> float:
    alone, beside = (median(each[column] for each in result[name]) for name in ("alone", "beside"))
    return float(1 - beside / alone)
