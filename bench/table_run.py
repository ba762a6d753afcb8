"""``lsmproc bench table``: runs the workloads over all systems; shows, saves, resumes and compares."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lsmproc.bench import saved_run
from lsmproc.bench.comparison import compare
from lsmproc.bench.errors import OptionError
from lsmproc.bench.options import chosen, rounds_of, settings_of, systems_of
from lsmproc.bench.page import page
from lsmproc.bench.progress import tell
from lsmproc.bench.rounds import Rounds
from lsmproc.bench.saved_run import Run
from lsmproc.bench.settings import MIB, Settings
from lsmproc.bench.summary import Summary
from lsmproc.bench.table import report
from lsmproc.bench.targets import targets_report
from lsmproc.bench.workloads import WORKLOADS

KIND = "table"
_SPARE_SPACE = 3  # times the raw bytes: a store, its copy, and what a compaction writes before it deletes


def run_table(options: argparse.Namespace) -> int:
    """Measure, or read what was measured, and show it; the exit status."""
    if options.list:
        for workload in WORKLOADS.values():
            print(f"{workload.name:22}{workload.what}")
        return 0
    old = saved_run.read(options.against, KIND) if options.against else None
    if options.show:
        run = saved_run.read(options.show, KIND)
        save = options.json is not None
    else:
        run = _measured(options)
        save = False  # it was, after each workload
    _show(run, old, options)
    if save:
        saved_run.write(run, options.json)
    for failure in run["failed"]:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if run["failed"] else 0


def measure(
    run: Run,
    systems: Sequence[str],
    workloads: Sequence[str],
    rounds: int,
    *,
    directory: str | None = None,
    save: Callable[[Run], None] | None = None,
) -> Run:
    """Run all sessions that ``run`` does not hold yet, and save it after each workload. Progress to standard error."""
    settings = Settings.from_json_dict(run["settings"])
    results: list[dict[str, Any]] = run["results"]
    done = {(each["system"], each["workload"], each["round"]) for each in results}
    wanted = [(system, name, turn) for turn in range(rounds) for name in workloads for system in systems]
    left = [each for each in wanted if each not in done]
    if not left:
        return run
    started = time.monotonic()
    with Rounds(settings, systems, directory, tell) as sessions:
        sessions.load(workloads)
        run["systems"] |= sessions.described
        for few in sessions.run(workloads, rounds, done, lambda count: _remaining(started, count, len(left))):
            results.extend(few)
            run["failed"] = sessions.failed
            if save is not None:
                save(run)
    tell("")
    return run


def new_run(settings: Settings, kind: str = KIND) -> Run:
    """A run without results."""
    return saved_run.new_run(kind, settings.to_json_dict()) | {"systems": {}, "results": [], "failed": []}


def check_space(directory: str | None, settings: Settings, systems: int) -> None:
    """Whether the stores have room: a full disk after an hour is a lost hour. Raises OptionError."""
    place = directory or tempfile.gettempdir()
    needed = (systems + _SPARE_SPACE) * settings.raw_bytes
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OptionError(
            f"the stores may take {needed // MIB:,} MiB and {place} has {free // MIB:,}:"
            " choose another place with --dir, fewer --systems or a smaller --num"
        )


def _remaining(started: float, count: int, total: int) -> str:
    """For the line of progress: how far, and how long still if it goes on like this."""
    seconds = (time.monotonic() - started) / count * (total - count) if count else None
    left = (
        "" if seconds is None else f", about {seconds / 60:.0f} min left" if seconds > 90 else f", {seconds:.0f} s left"
    )
    return f"{count} of {total}{left}"


def _measured(options: argparse.Namespace) -> Run:
    settings, workloads = settings_of(options), _workloads(options)
    systems = systems_of(options, tell)
    run = new_run(settings)
    if options.resume and Path(options.json).exists():
        run = saved_run.read(options.json, KIND)
        _check_same(settings.to_json_dict(), run["settings"], options.json)
    check_space(options.dir, settings, len(systems))
    save = None if options.json is None else lambda run: saved_run.write(run, options.json)
    return measure(run, systems, workloads, rounds_of(options), directory=options.dir, save=save)


def _check_same(settings: dict[str, Any], saved: dict[str, Any], path: str) -> None:
    differing = [
        f"{name} {saved.get(name)} and not {value}" for name, value in settings.items() if saved.get(name) != value
    ]
    if differing:
        raise OptionError(f"--resume: {path} was measured with {', '.join(differing)}; figures of both do not mix")


def _workloads(options: argparse.Namespace) -> list[str]:
    known = tuple(WORKLOADS)
    names = list(known) if options.workloads is None else chosen(options.workloads, known, "workload")
    kept = [name for name in names if options.only is None or options.only in name]
    if not kept:
        raise OptionError(f"--only {options.only}: no workload has this in its name; --list names all")
    return kept


def _show(run: Run, old: Run | None, options: argparse.Namespace) -> None:
    summary = Summary(run["results"])
    if not summary.workloads:
        raise OptionError("there is no result yet to be shown")
    print(report(run, summary))
    print("\n" + targets_report(summary))
    if old is not None:
        print("\n" + compare(run, old))
    sys.stdout.flush()
    if options.html:
        Path(options.html).write_text(page(run, summary, old), encoding="utf-8")
