"""A long run of one owner: load, snapshots that come and go, workers that die, and nothing that grows.

The load comes in rounds. After each the oracle looks at everything, without an end of the owner; after the last one
the store is closed and opened again. Once in a second the parent notes what the processes hold.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from lsmproc.stress.cycle_result import CycleResult
from lsmproc.stress.episode import Episode
from lsmproc.stress.growth import Growth, growths
from lsmproc.stress.operations import LoadShape
from lsmproc.stress.option_sets import OPTION_SETS
from lsmproc.stress.oracle import Problem
from lsmproc.stress.owner_under_test import OwnerFailedError, OwnerUnderTest
from lsmproc.stress.plan import StressPlan
from lsmproc.stress.schedule import EpisodePlan
from lsmproc.stress.worker_faults import choose_worker, continue_worker, kill_worker, stop_worker

_SAMPLE_SECONDS = 1.0  # or less, in a run so short that it would have few samples
_SAMPLES_AT_LEAST = 40
_ROUND_SECONDS = 20.0
_FAULT_SECONDS = (1.0, 30.0)  # between two faults: a fortieth of the run, within these bounds
_STOPPED_SECONDS = 0.3
_FEWEST_SAMPLES = 8
_JOIN_SECONDS = 10.0

Sample = dict[str, float]


@dataclass(slots=True)
class SoakReport:
    """What a long run found."""

    seed: int
    asked_seconds: float
    samples: list[Sample] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rounds: int = 0
    acked: int = 0
    done: Counter[str] = field(default_factory=Counter)  # what kept the load company, and what happened to workers
    seconds: float = 0.0
    interrupted: bool = False
    evidence: str = ""
    replay: str = ""

    @property
    def failed(self) -> bool:
        """Whether a promise was broken, something grew, or nothing is known of either."""
        return bool(self.problems) or self.tested_nothing or not all(each.flat for each in self.growths)

    @property
    def tested_nothing(self) -> bool:
        """Whether the run was too short to tell growth from noise."""
        return not self.growths

    def lines(self) -> Iterator[str]:
        """The end of the report, for people."""
        yield f"{self.rounds} rounds in {self.seconds:.1f} s, {self.acked:,} acknowledged operations"
        yield "besides: " + ", ".join(f"{count:,} {what}" for what, count in sorted(self.done.items()))
        if self.growths:
            yield f"growth over the second half, from {len(self.samples)} samples:"
        yield from (each.line() for each in self.growths)
        if self.tested_nothing:
            yield "FAILED: the run was too short to tell growth from noise"
        yield from (f"FAILED: {each.name} grows" for each in self.growths if not each.flat)
        for problem in self.problems:
            yield f"FAILED: {problem.kind}: {problem.text}"
            yield from (f"    {line}" for line in problem.history)
        if self.failed:
            yield f"evidence: {self.evidence or 'none: the figures above'}"
            yield f"replay: {self.replay}"

    def to_json_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        fields = {name: getattr(self, name) for name in ("seed", "asked_seconds", "rounds", "acked", "interrupted")}
        return fields | {
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
            "done": dict(self.done),
            "growths": [asdict(each) | {"flat": each.flat} for each in self.growths],
            "problems": [asdict(each) for each in self.problems],
            "samples": self.samples,
            "evidence": self.evidence,
            "replay": self.replay,
        }


class Soak:
    """One run."""

    def __init__(self, plan: StressPlan, seconds: float, root: Path, write: Callable[[str], None]) -> None:
        """Work in ``root``, which is the rig's own."""
        chance = Random(f"{plan.seed}/soak")  # noqa: S311 - a repeatable plan, not a secret
        wanted = [each for each in OPTION_SETS if each.name in (plan.option_sets or ("small",))]
        options = wanted[0]
        shape = LoadShape(
            max(plan.threads[:2]), options.keys_per_thread, options.value_max_bytes, options.batch_max_records, 0
        )
        self._episode = Episode(plan, EpisodePlan(0, "directory", options, "interval", shape, ()), root)
        self._result = CycleResult(0, 0, plan.seed, "soak", options.name, "interval", shape.threads)
        self._store = root / "store"
        self._chance = chance
        self._seconds = seconds
        self._slow_seconds = plan.slow_seconds
        self._write = write
        low, high = _FAULT_SECONDS
        self._sample_seconds = min(_SAMPLE_SECONDS, seconds / _SAMPLES_AT_LEAST)
        self._fault_seconds = min(high, max(low, seconds / 40))
        self._snapshots = 0  # live ones in the store, as it last said
        self.report: SoakReport = SoakReport(plan.seed, seconds)

    def run(self) -> None:
        """Until the time is up, a promise is broken, or Ctrl-C."""
        began = time.monotonic()
        try:
            owner = self._episode.open(self._result)
            while not self._result.problems and time.monotonic() < began + self._seconds:
                self._round(owner, began)
            if not self._result.problems:
                self._episode.close(owner)
                self._episode.copy_evidence()
                self._episode.open(self._result)
        except OwnerFailedError as error:
            self._result.problems.append(Problem("error", str(error)))
            self._episode.copy_evidence()
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            self.report.seconds = time.monotonic() - began
            self._episode.end()
        self.report.acked = self._result.acked
        self.report.problems = self._result.problems
        if len(self.report.samples) >= _FEWEST_SAMPLES:
            self.report.growths = growths(self.report.samples)

    def _round(self, owner: OwnerUnderTest, began: float) -> None:
        end = min(time.monotonic() + _ROUND_SECONDS, began + self._seconds)
        self._episode.start_load(owner, self.report.rounds)
        _company(owner, on=True)
        with self._sampling(owner.pid, began):
            self._disturb(owner, end)
        figures = _company(owner, on=False)
        self._episode.look_without_reopening(owner, self._result)
        faults = {name: count for name, count in self.report.done.items() if name.startswith("worker")}
        self.report.done = Counter({**figures["done"], **faults})
        if figures["snapshots"]:
            self._result.problems.append(Problem("left", f"{figures['snapshots']} snapshots outlive their holders"))
        self.report.rounds += 1
        self._write(
            f"round {self.report.rounds} at {time.monotonic() - began:.0f} s: acked={self._result.acked:,} "
            f"records={self._result.records:,} {'FAILED' if self._result.problems else 'OK'}"
        )

    def _disturb(self, owner: OwnerUnderTest, end: float) -> None:
        """Let workers die and stop now and then, until the round ends."""
        next_fault = time.monotonic() + self._chance.random() * self._fault_seconds
        while time.monotonic() < end:
            owner.run_for(max(0.0, min(self._sample_seconds, end - time.monotonic())))
            self._snapshots = _company(owner)["snapshots"]
            if time.monotonic() >= next_fault:
                self._fault(owner)
                next_fault = time.monotonic() + self._chance.random() * 2 * self._fault_seconds

    def _fault(self, owner: OwnerUnderTest) -> None:
        victim = choose_worker(owner, self._chance.choice(("flush", "compaction")), self._chance)
        if victim is None:
            return
        if self._chance.random() < 0.5:
            self.report.done["worker kills"] += 1
            self._result.problems += kill_worker(owner, victim, self._slow_seconds)[1]
            return
        self.report.done["worker stops"] += 1
        stop_worker(victim)
        try:
            owner.run_for(self._chance.random() * 2 * _STOPPED_SECONDS)
        finally:
            continue_worker(victim)

    @contextlib.contextmanager
    def _sampling(self, pid: int, began: float) -> Iterator[None]:
        """Take samples in a thread, so that nothing that the owner is asked delays them."""
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(self._sample_seconds):
                with contextlib.suppress(psutil.NoSuchProcess):
                    held = {**_processes(pid), **_directory(self._store), "live snapshots": float(self._snapshots)}
                    self.report.samples.append({"seconds": time.monotonic() - began, **held})

        thread = threading.Thread(target=sample, name="soak samples", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_JOIN_SECONDS)


def _company(owner: OwnerUnderTest, *, on: bool | None = None) -> dict[str, Any]:
    owner.tell({"do": "company", "on": on})
    return owner.expect("company")


def _processes(pid: int) -> Mapping[str, float]:
    """What owner and workers hold."""
    owner = psutil.Process(pid)
    memory, descriptors = [], []
    for worker in owner.children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # It has just gone.
            descriptors.append(_descriptors(worker))
            memory.append(worker.memory_info().rss)
    return {
        "owner memory (bytes)": owner.memory_info().rss,
        "memory of the largest worker (bytes)": max(memory, default=0),
        "owner descriptors, tables aside": _descriptors(owner),
        "descriptors of the workers, tables aside": sum(descriptors),
        "owner threads": owner.num_threads(),
        "processes": 1 + len(memory),
    }


def _descriptors(process: psutil.Process) -> int:
    """A table that is open and still there comes and goes with the tree; one that was removed stays counted."""
    tables = sum(each.path.endswith(".sst") for each in process.open_files())
    found: int = process.num_fds() - tables
    return found


def _directory(path: Path) -> Mapping[str, float]:
    """Files of the store, which come and go meanwhile."""
    sizes = []
    for top, _, names in os.walk(path):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(top, name)).st_size)
            except FileNotFoundError:
                continue
    return {"files": len(sizes), "bytes in the directory": sum(sizes)}
