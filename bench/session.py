"""``python -m lsmproc.bench.session``: one system, one workload, in a process of its own.

The job is a JSON object on standard input; answers are JSON objects on standard output, one a line: ``begin`` and
``end`` around what counts for memory, which the parent watches from outside, and ``result`` at last.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsmproc.bench.measurement import Whole, measure_each, measure_whole, warm
from lsmproc.bench.process_tree import cpu_seconds, space_bytes, tree_bytes, written_bytes
from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings
from lsmproc.bench.sparse_copy import copy_store
from lsmproc.bench.systems import opener
from lsmproc.bench.systems.system import StoreOptions, System
from lsmproc.bench.workloads import WORKLOADS
from lsmproc.bench.workloads.work import Stage, Work, Workload

_SETTLED_SECONDS = 2.0  # without work for so long
_SETTLED_SHARE = 0.02  # of a processor, for looking whether there is any
_IDLE_SECONDS = 600.0
_CHECKED_RECORDS = 100


def main() -> None:
    """Read the job, do it, answer."""
    job = json.load(sys.stdin)
    settings = Settings.from_json_dict(job["settings"])
    if job["workload"] == "load":
        result = load(job["system"], settings, job["directory"])
    else:
        session = Session(job["system"], WORKLOADS[job["workload"]], settings, job["directory"], job["loaded"])
        result = session.run(seed=settings.seed + job["round"])
    tell({"event": "result", **result})


def tell(message: dict[str, Any]) -> None:
    """One line to the parent."""
    print(json.dumps(message), flush=True)


def load(system_name: str, settings: Settings, directory: str) -> dict[str, Any]:
    """Make the loaded store that workloads start from: all records in random order, then everything settled."""
    system = opener(system_name)(directory, StoreOptions.of(settings))
    maker = RecordMaker(settings, settings.seed)
    put, order = system.put, maker.shuffled()
    for first in range(0, len(order), 1000):
        for key, value in maker.records(order[first : first + 1000]):
            put(key, value)
    system.flush()
    system.wait_idle(_IDLE_SECONDS)
    system.close()
    # Some write their log into a table only when they are opened the next time.
    system = opener(system_name)(directory, StoreOptions.of(settings))
    _settle(system)
    described = {"version": system.version, "settings": system.settings}
    system.close()
    return described


def _settle(system: System) -> None:
    """Leave the store alone until it does nothing: some begin work of their own accord a while after the last write."""
    deadline = time.perf_counter() + _IDLE_SECONDS
    while time.perf_counter() < deadline:
        system.wait_idle(_IDLE_SECONDS)
        used = cpu_seconds()
        time.sleep(_SETTLED_SECONDS)
        if cpu_seconds() - used < _SETTLED_SHARE * _SETTLED_SECONDS:
            return
    raise TimeoutError(f"the store is still busy {_IDLE_SECONDS:g} s after its load")


class Session:
    """Both passes of one workload over one system."""

    def __init__(self, system: str, workload: Workload, settings: Settings, directory: str, loaded: str) -> None:
        self._open_system = opener(system)
        self._workload = workload
        self._settings = settings
        self._directory = directory
        self._loaded = loaded

    def run(self, seed: int) -> dict[str, Any]:
        """Measure; the answer is plain data."""
        result = self._pass(RecordMaker(self._settings, seed), whole=True)
        return result | self._pass(RecordMaker(self._settings, seed + 1), whole=False)

    def _pass(self, maker: RecordMaker, *, whole: bool) -> dict[str, Any]:
        stage = self._stage(maker)
        if self._workload.start == "copy":
            copy_store(self._loaded, stage.directory)
        maker.shuffled()  # before memory is measured: it is the benchmark's own
        baseline = tree_bytes()
        try:
            if self._workload.warm:
                warm(self._workload.make(stage))
            work = self._workload.make(stage)
            if self._workload.start != "empty":
                _check(stage)
            result = self._whole(stage, work, baseline) if whole else self._each(stage, work)
            if self._workload.name.startswith("fill") and not self._workload.sync:
                _check(stage)
        finally:
            stage.close()
            if self._workload.start != "loaded":
                shutil.rmtree(stage.directory, ignore_errors=True)
        return result

    def _stage(self, maker: RecordMaker) -> Stage:
        workload, settings = self._workload, self._settings
        cache = {"as set": None, "a tenth": settings.raw_bytes // 10, "none": 0}[workload.cache]
        return Stage(
            settings=settings,
            threads=settings.threads if workload.threads is None else workload.threads,
            directory=self._loaded if workload.start == "loaded" else str(Path(self._directory, "store")),
            options=StoreOptions.of(settings, sync=workload.sync, cache_bytes=cache),
            open_system=self._open_system,
            maker=maker,
        )

    def _whole(self, stage: Stage, work: Work, baseline: int) -> dict[str, Any]:
        tell({"event": "begin"})
        cpu, written = cpu_seconds(), written_bytes()
        whole = measure_whole(work)
        done = self._done_seconds(stage, whole)
        written_after = written_bytes()
        usage = {
            "cpu_seconds": max(0.0, cpu_seconds() - cpu - whole.making_cpu_seconds),
            "written_bytes": None if written is None or written_after is None else written_after - written,
            "space_bytes": space_bytes(stage.directory),
            "baseline_bytes": baseline,
        }
        tell({"event": "end"})
        own = stage.system.figures() if stage.opened else {}  # openings close what they open
        return {"whole": asdict(whole) | {"done_seconds": done}, "usage": usage, "notes": work.notes, "own": own}

    def _done_seconds(self, stage: Stage, whole: Whole) -> float | None:
        """Until all background work was done, counted like the puts: without the time to make records."""
        if not self._workload.writes:
            return None
        returned = time.perf_counter()
        return whole.seconds + max(0.0, stage.system.wait_idle(_IDLE_SECONDS) - returned)

    def _each(self, stage: Stage, work: Work) -> dict[str, Any]:
        watched = self._workload.writes or self._workload.start == "copy"
        return {"each": asdict(measure_each(work, stage.system.activity if watched else None))}


def _check(stage: Stage) -> None:
    """A fast store that does not hold its records would win: look for some."""
    numbers = random.Random(stage.settings.seed).choices(stage.maker.shuffled(), k=_CHECKED_RECORDS)
    missing = [key for key in stage.maker.keys(numbers) if stage.system.get(key) is None]
    if missing:
        raise AssertionError(f"{len(missing)} of {_CHECKED_RECORDS} records are missing, the first is {missing[0]!r}")


if __name__ == "__main__":
    main()
