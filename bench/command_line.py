"""The command: reads the options, runs the rounds, shows and saves what was found."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lsmproc.bench.comparison import compare
from lsmproc.bench.errors import SessionFailedError
from lsmproc.bench.page import page
from lsmproc.bench.rounds import Rounds
from lsmproc.bench.settings import Settings
from lsmproc.bench.summary import Summary
from lsmproc.bench.systems import NAMES, installed
from lsmproc.bench.table import report
from lsmproc.bench.targets import targets_report
from lsmproc.bench.workloads import WORKLOADS

_ROUNDS = 3
_FORMAT = 1  # of the saved results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status."""
    options = _parser().parse_args(arguments)
    if options.list:
        for workload in WORKLOADS.values():
            print(f"{workload.name:22}{workload.what}")
        return 0
    old = _read(options.against) if options.against else None
    if options.show:
        run = _read(options.show)
    else:
        try:
            run = measure(_settings(options), _systems(options), _workloads(options), options.rounds, options.dir)
        except SessionFailedError as error:
            print(error, file=sys.stderr)
            return 1
    _show(run, old, options)
    return 0


def measure(
    settings: Settings, systems: Sequence[str], workloads: Sequence[str], rounds: int, directory: str | None = None
) -> dict[str, Any]:
    """Run all sessions; the run as plain data. Progress goes to standard error."""
    with Rounds(settings, systems, directory, _tell_progress) as sessions:
        sessions.load(workloads)
        results = sessions.run(workloads, rounds)
        described = sessions.described
    _tell_progress("")
    return {
        "format": _FORMAT,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "platform": platform.platform(terse=True),
        },
        "settings": settings.to_json_dict(),
        "systems": described,
        "results": results,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure lsmproc and its peers side by side.")
    add = parser.add_argument
    default = {field.name: field.default for field in fields(Settings)}
    for name, what in (
        ("num", "records of a store, and operations of a workload"),
        ("key_size", "bytes"),
        ("value_size", "bytes"),
        ("threads", "threads, where a workload does not fix their number"),
        ("batch_size", "records of a batch, keys of a multiread"),
        ("seek_nexts", "records read after each seek"),
        ("write_rate", "puts per second beside the reads of readwhilewriting"),
        ("write_buffer_bytes", "memtable of each system"),
        ("cache_bytes", "block cache of each system"),
        ("bloom_bits", "filter bits per key of each system"),
        ("seed", "of keys and values"),
    ):
        add(f"--{name.replace('_', '-')}", type=int, default=default[name], help=f"{what} [%(default)s]")
    add("--distribution", choices=("uniform", "zipfian"), default="uniform", help="of the keys of reads and overwrites")
    add("--defaults", action="store_true", help="open each system with its own defaults")
    add("--rounds", type=int, default=_ROUNDS, help="[%(default)s]")
    add("--systems", metavar="NAME,...", help=f"of {', '.join(NAMES)} [all that are installed]")
    add("--workloads", metavar="NAME,...", help="see --list [all]")
    add("--only", metavar="TEXT", help="workloads whose name holds this text")
    add("--dir", help="where to make the stores [the directory for temporary files]")
    add("--json", metavar="FILE", help="save the results")
    add("--html", metavar="FILE", help="write a page with plots")
    add("--against", metavar="OLD.json", help="compare with saved results")
    add("--show", metavar="OLD.json", help="measure nothing: show saved results")
    add("--list", action="store_true", help="name the workloads")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    given = vars(options)
    return Settings(**{field.name: given[field.name] for field in fields(Settings) if field.name in given})


def _systems(options: argparse.Namespace) -> list[str]:
    if options.systems is None:
        return [name for name in NAMES if installed(name)]
    return _chosen(options.systems, NAMES, "system")


def _workloads(options: argparse.Namespace) -> list[str]:
    names = list(WORKLOADS) if options.workloads is None else _chosen(options.workloads, tuple(WORKLOADS), "workload")
    return [name for name in names if options.only is None or options.only in name]


def _chosen(text: str, known: Sequence[str], kind: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"there is no {kind} {', '.join(unknown)}; choose from {', '.join(known)}")
    return names


def _show(run: dict[str, Any], old: dict[str, Any] | None, options: argparse.Namespace) -> None:
    summary = Summary(run["results"])
    print(report(run, summary))
    print("\n" + targets_report(summary))
    if old is not None:
        print("\n" + compare(run, old))
    if options.json:
        Path(options.json).write_text(json.dumps(run) + "\n", encoding="utf-8")
    if options.html:
        Path(options.html).write_text(page(run, summary), encoding="utf-8")


def _read(path: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    if run.get("format") != _FORMAT:
        raise SystemExit(f"{path} holds results of format {run.get('format')}; this program reads {_FORMAT}")
    return run


def _tell_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="" if text else "\r", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
