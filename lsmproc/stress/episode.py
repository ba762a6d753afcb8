"""One store through several cycles: load, fault, reopening, a look at everything it holds."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

from lsmproc.stress.operations import LoadShape
from lsmproc.stress.oracle import Oracle, Problem
from lsmproc.stress.owner_under_test import OwnerFailedError, OwnerUnderTest
from lsmproc.stress.plan import INTERVAL_PROMISE_SECONDS, POWER_FAULTS, CyclePlan, EpisodePlan, Fault, StressPlan
from lsmproc.stress.report import CycleResult
from lsmproc.stress.volumes import modelled_cut, volume_for
from lsmproc.stress.worker_faults import (
    Victim,
    choose_worker,
    continue_worker,
    damage_sealed_log,
    kill_worker,
    stop_worker,
)

_MOST_REOPENINGS_KILLED = 3
_TEAR_SECONDS = 1.0  # a write comes by then, or the load waits for workers and its owner is killed as it stands
_WAL_SYNC = {"none": "none", "interval": "interval", "every_write": "every_write", "mix": "none"}


class Episode:
    """Runs the cycles of one episode. Whatever happens, call ``end``: it leaves no process behind."""

    def __init__(self, plan: StressPlan, episode: EpisodePlan, root: Path) -> None:
        """Use ``root / "store"``, which does not exist yet, and copy it to ``root / "evidence"`` after each kill."""
        self.plan = episode
        self._seed = plan.seed
        self._slow_seconds = plan.slow_seconds
        self._gone_seconds = plan.gone_seconds
        self._volume = volume_for(episode.volume, root)
        self._store = self._volume.store
        self._evidence = root / "evidence"
        self._settings: dict[str, Any] = {
            "path": str(self._store),
            "volume": episode.volume,
            "seed": plan.seed,
            "load": episode.load.to_json_dict(),
            "options": {"wal_sync": _WAL_SYNC[episode.sync], "wal_sync_interval_ms": 50, **episode.options.options},
            "sabotage": plan.sabotage,
            "bytecode": str(root / "bytecode"),
        }
        self._load: LoadShape = episode.load
        self._oracle = Oracle(plan.seed, episode.load)
        self._owner: OwnerUnderTest | None = None
        self._dead: list[OwnerUnderTest] = []  # killed or closed, and not yet asked who is left of them
        self._loaded = False  # operations came after the last copy of the directory
        self._orphan: Victim | None = None  # stopped, while its owner was killed

    def run(self, cycle: CyclePlan, *, last: bool) -> CycleResult:
        """One cycle; the last one also closes the store in good order and opens it once more."""
        result = CycleResult(
            cycle.number,
            self.plan.number,
            self._seed,
            cycle.fault.value,
            self.plan.options.name,
            self.plan.sync,
            self._load.threads,
            volume=self.plan.volume,
            after_ms=cycle.delay_seconds * 1000,
        )
        try:
            owner = self._owner or self._open(result)
            if not result.problems:
                self._work(owner, cycle, result)
            if last and not result.problems:
                self._close_and_reopen(result)
        except OwnerFailedError as error:
            result.problems.append(Problem("error", str(error)))
            if self._loaded:
                self._copy_evidence()
        return result

    def end(self) -> None:
        """Kill what is still running."""
        if self._owner is not None:
            self._owner.kill()
            self._dead.append(self._owner)
            self._owner = None
        if self._orphan is not None:
            continue_worker(self._orphan)
        for owner in self._dead:
            owner.left(self._gone_seconds)
        self._volume.remove()

    def _work(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        self._loaded = True
        owner.acks.restart()
        self._oracle.begin(cycle.number)
        owner.tell({"do": "load", "cycle": cycle.number})
        owner.expect("loading")
        owner.run_for(cycle.delay_seconds)
        if cycle.fault in POWER_FAULTS:
            self._cut_power(owner, cycle, result)
        elif cycle.fault.ends_owner:
            self._kill_owner(owner, cycle, result)
        else:
            self._hit_worker(owner, cycle, result)
            self._look_without_reopening(owner, result)

    # The owner is killed

    def _kill_owner(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        chance = cycle.chance
        if cycle.fault is Fault.ORPHAN_STOPPED_WORKER:
            self._orphan = choose_worker(owner, chance.choice(("flush", "compaction")), chance)
            if self._orphan is not None:
                result.victim = str(self._orphan)
                stop_worker(self._orphan)
        if cycle.fault is Fault.TEAR_WRITE:
            in_log = chance.random() < 0.5
            owner.tell({"do": "tear", "in_log": in_log, "skip": chance.randrange(5), "share": chance.random()})
            result.victim = "log" if in_log else "manifest"
            owner.await_death(_TEAR_SECONDS)
        self._bury(owner)
        result.acked = sum(owner.acks.done)
        self._oracle.finish(owner.acks.done, killed=True)
        result.pending = self._oracle.pending
        self._copy_evidence()
        if cycle.fault is Fault.KILL_OWNER_REOPENING:
            for _ in range(chance.randint(1, _MOST_REOPENINGS_KILLED)):
                victim = OwnerUnderTest(self._settings)
                self._owner = victim
                victim.expect("opening")
                victim.run_for(chance.random() * 0.03)
                self._bury(victim)
        self._open(result)

    def _cut_power(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        old = owner.acks.received_before(time.monotonic() - INTERVAL_PROMISE_SECONDS)
        self._volume.cut_power(owner, cycle.chance)
        self._end_power_cut(owner)
        result.acked = len(owner.acks.order)
        self._oracle.cut(owner.acks.order, old if self.plan.sync == "interval" else 0)
        self._copy_evidence()
        if cycle.fault is Fault.CUT_POWER_REOPENING:
            for _ in range(cycle.chance.randint(1, _MOST_REOPENINGS_KILLED)):
                self._cut_power_while_opening(cycle.chance)
        self._open(result)
        result.survived = self._oracle.survived

    def _cut_power_while_opening(self, chance: Random) -> None:
        settings = self._settings
        if modelled := self.plan.volume == "model":
            settings = {**settings, "cut_opening": {"after": chance.randint(1, 40), **modelled_cut(chance)}}
        victim = self._owner = OwnerUnderTest(settings)
        if modelled:
            victim.expect("cut")
        else:
            victim.expect("opening")
            victim.run_for(chance.random() * 0.03)
            self._volume.cut_power(victim, chance)
        self._end_power_cut(victim)

    def _end_power_cut(self, owner: OwnerUnderTest) -> None:
        owner.kill_all()
        self._owner = None
        self._volume.restore_power()

    def _bury(self, owner: OwnerUnderTest) -> None:
        owner.kill()
        self._dead.append(owner)
        self._owner = None

    def _open(self, result: CycleResult) -> OwnerUnderTest:
        """Start the next owner and compare what it finds; then nothing of the one before may be left."""
        owner = self._owner = OwnerUnderTest(self._settings)
        opened = owner.expect("opened")
        seconds = opened["seconds"]
        result.reopen_ms.append(round(seconds * 1000, 2))
        if seconds > self._slow_seconds:
            result.problems.append(Problem("slow", f"opening took {seconds:.2f} s"))
        result.problems += [Problem("orphan", f"{name} is there, and nothing names it") for name in opened["orphans"]]
        self._look(owner, result)
        if self._orphan is not None:
            # It was stopped all the time; its owner's death counts from now.
            continue_worker(self._orphan)
            self._orphan = None
            self._dead[-1].restart_clock()
        for dead in self._dead:
            result.problems += [Problem("left", text) for text in dead.left(self._gone_seconds)]
        self._dead.clear()
        return owner

    def _close_and_reopen(self, result: CycleResult) -> None:
        assert self._owner is not None
        owner = self._owner
        owner.ask("close", "closed")
        owner.leave()
        self._dead.append(owner)
        self._owner = None
        self._copy_evidence()
        self._open(result)

    # A worker is hit

    def _hit_worker(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        chance = cycle.chance
        kind = {Fault.KILL_FLUSH_WORKER: "flush", Fault.KILL_COMPACTION_WORKER: "compaction"}.get(cycle.fault)
        if cycle.fault is Fault.DAMAGE_SEALED_LOG:
            kind = "flush"
        victim = choose_worker(owner, kind or chance.choice(("flush", "compaction")), chance)
        if victim is None:
            result.problems.append(Problem("error", f"the load kept no {kind} worker busy: choose smaller options"))
            return
        result.victim = str(victim)
        match cycle.fault:
            case Fault.STOP_WORKER:
                stop_worker(victim)
                try:
                    owner.run_for(chance.uniform(0.05, 1.0))
                finally:
                    continue_worker(victim)
            case Fault.DAMAGE_SEALED_LOG:
                problems = damage_sealed_log(owner, victim, str(self._store), chance)
                result.problems += problems or ()
                result.victim = "nothing sealed" if problems is None else "sealed segment"
            case _:
                seconds, problems = kill_worker(owner, victim, self._slow_seconds)
                result.restart_ms = round(seconds * 1000, 2)
                result.problems += problems
        owner.run_for(chance.uniform(0.01, 0.1))

    def _look_without_reopening(self, owner: OwnerUnderTest, result: CycleResult) -> None:
        owner.ask("pause", "paused")
        owner.take_all()
        result.acked = sum(owner.acks.done)
        self._oracle.finish(owner.acks.done, killed=False)
        workers = owner.ask("workers", "workers")
        if workers["background_error"]:
            result.problems.append(Problem("error", f"background work has ended: {workers['background_error']}"))
        self._look(owner, result)
        if result.problems:
            self._copy_evidence()

    # Both

    def _look(self, owner: OwnerUnderTest, result: CycleResult) -> None:
        dump = owner.ask("dump", "dump")
        result.records = len(dump["records"])
        result.problems += [
            Problem("reads differ", f"scan and point read do not agree on {key!r}") for key in dump["differing"]
        ]
        result.problems += self._oracle.look((key, value, sequence) for key, value, sequence in dump["records"])

    def _copy_evidence(self) -> None:
        """Keep the directory as it is now: opening it would change it, and so would an owner that lives on."""
        self._loaded = False
        if self._owner is not None:
            self._bury(self._owner)
        shutil.rmtree(self._evidence, ignore_errors=True)
        if self._store.exists():
            shutil.copytree(self._store, self._evidence / "store", copy_function=_copy_if_there)


def _copy_if_there(source: str, destination: str) -> None:
    """Copy a file, unless a worker that has just missed its owner removes its output meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, destination)
