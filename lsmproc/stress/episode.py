"""One store through several cycles: load, fault, reopening, a look at everything it holds."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from lsmproc.stress import file_damage, full_disk, point_faults, power_faults
from lsmproc.stress.cycle_result import CycleResult
from lsmproc.stress.faults import POINT_FAULTS, POWER_FAULTS, Fault
from lsmproc.stress.operations import LoadShape
from lsmproc.stress.oracle import Oracle, Problem
from lsmproc.stress.owner_under_test import OwnerFailedError, OwnerUnderTest
from lsmproc.stress.plan import StressPlan
from lsmproc.stress.schedule import CyclePlan, EpisodePlan
from lsmproc.stress.volumes import Volume, volume_for
from lsmproc.stress.worker_faults import (
    Victim,
    choose_worker,
    continue_worker,
    damage_sealed_log,
    kill_worker,
    stop_worker,
)

_MOST_REOPENINGS_KILLED = 3
_WAL_SYNC = {"none": "none", "interval": "interval", "every_write": "every_write", "mix": "none"}


class Episode:
    """Runs the cycles of one episode. Whatever happens, call ``end``: it leaves no process behind.

    The modules of the faults use it too: they end an owner with ``bury``, open the next with ``open`` and compare
    with ``look``.

    Attributes:
        root: the rig's directory; what is armed, and copies of the store, lie beside the store.
        volume: where the store lies.
        owner: the living owner process.
        oracle: what the store must hold.
        settings: for the next owner process.
    """

    def __init__(self, plan: StressPlan, episode: EpisodePlan, root: Path) -> None:
        """Use ``root / "store"``, which does not exist yet, and copy it to ``root / "evidence"`` after each kill."""
        self.plan = episode
        self.root = root
        self.slow_seconds: float = plan.slow_seconds
        self._seed = plan.seed
        self._gone_seconds = plan.gone_seconds
        self.volume: Volume = volume_for(episode.volume, episode.room_bytes, root)
        self.evidence: Path = root / "evidence"
        self.settings: dict[str, Any] = {
            "path": str(self.volume.store),
            "volume": episode.volume,
            "seed": plan.seed,
            "load": episode.load.to_json_dict(),
            "options": {"wal_sync": _WAL_SYNC[episode.sync], "wal_sync_interval_ms": 50, **episode.options.options},
            "sabotage": plan.sabotage,
            "bytecode": str(root / "bytecode"),
            "armed_workers": any(cycle.fault in POINT_FAULTS for cycle in episode.cycles),
        }
        self._load: LoadShape = episode.load
        self.oracle: Oracle = Oracle(plan.seed, episode.load)
        self.owner: OwnerUnderTest | None = None
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
            point=cycle.point,
        )
        try:
            owner = self.owner or self.open(result)
            if not result.problems:
                self._work(owner, cycle, result)
            if last and not result.problems:
                self._close_and_reopen(result)
        except OwnerFailedError as error:
            result.problems.append(Problem("error", str(error)))
            if self._loaded:
                self.copy_evidence()
        return result

    def end(self) -> None:
        """Kill what is still running."""
        if self.owner is not None:
            self.bury(self.owner)
        if self._orphan is not None:
            continue_worker(self._orphan)
        for owner in self._dead:
            owner.left(self._gone_seconds)
        self.volume.remove()

    def _work(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        if cycle.fault is Fault.DAMAGE_FILE:
            # What earlier cycles wrote is durable then: nothing of it may pass for a torn tail.
            owner.ask("sync", "synced")
        self.start_load(owner, cycle.number, tolerate=cycle.fault in {Fault.DISK_ERROR, Fault.FILL_DISK})
        owner.run_for(cycle.delay_seconds)
        if cycle.fault in POWER_FAULTS:
            power_faults.run(self, owner, cycle, result)
        elif cycle.fault in POINT_FAULTS:
            point_faults.run(self, owner, cycle, result)
        elif cycle.fault is Fault.DAMAGE_FILE:
            file_damage.run(self, owner, cycle, result)
        elif cycle.fault is Fault.FILL_DISK:
            full_disk.run(self, owner, cycle, result)
        elif cycle.fault in {Fault.KILL_OWNER, Fault.KILL_OWNER_REOPENING, Fault.ORPHAN_STOPPED_WORKER}:
            self._kill_owner(owner, cycle, result)
        else:
            self._hit_worker(owner, cycle, result)
            self.look_without_reopening(owner, result)

    def start_load(self, owner: OwnerUnderTest, number: int, *, tolerate: bool = False) -> None:
        """The threads begin the operations of a cycle. REQUIRES: a look since the last ones."""
        self._loaded = True
        owner.acks.restart()
        owner.refused = []
        self.oracle.begin(number)
        owner.tell({"do": "load", "cycle": number, "tolerate": tolerate})
        owner.expect("loading")

    # The owner ends

    def _kill_owner(self, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
        chance = cycle.chance
        if cycle.fault is Fault.ORPHAN_STOPPED_WORKER:
            self._orphan = choose_worker(owner, chance.choice(("flush", "compaction")), chance)
            if self._orphan is not None:
                result.victim = str(self._orphan)
                stop_worker(self._orphan)
        self.finish_killed(owner, result)
        if cycle.fault is Fault.KILL_OWNER_REOPENING:
            for _ in range(chance.randint(1, _MOST_REOPENINGS_KILLED)):
                victim = self.start_owner()
                victim.expect("opening")
                victim.run_for(chance.random() * 0.03)
                self.bury(victim)
        self.open(result)

    def finish_killed(self, owner: OwnerUnderTest, result: CycleResult) -> None:
        """Kill the owner unless it has ended, tell the oracle, and keep what it has left."""
        if self.owner is owner:
            self.bury(owner)
        result.acked += sum(owner.acks.done)
        self.oracle.finish(owner.acks.done, killed=True)
        result.pending = self.oracle.pending
        self.copy_evidence()

    def bury(self, owner: OwnerUnderTest) -> None:
        """Kill an owner. Who is left of it is asked when the next one has opened the store."""
        owner.kill()
        self._dead.append(owner)
        self.owner = None

    def start_owner(self, **settings: Any) -> OwnerUnderTest:
        """The next owner process, which begins to open the store."""
        self.owner = OwnerUnderTest({**self.settings, **settings})
        return self.owner

    def open(self, result: CycleResult) -> OwnerUnderTest:
        """Start the next owner and compare what it finds; then nothing of the one before may be left."""
        owner = self.start_owner()
        opened = owner.expect("opened")
        seconds = opened["seconds"]
        result.reopen_ms.append(round(seconds * 1000, 2))
        if seconds > self.slow_seconds:
            result.problems.append(Problem("slow", f"opening took {seconds:.2f} s"))
        result.problems += [Problem("orphan", f"{name} is there, and nothing names it") for name in opened["orphans"]]
        self.look(owner, result)
        if self._orphan is not None:
            # It was stopped all the time; its owner's death counts from now.
            continue_worker(self._orphan)
            self._orphan = None
            self._dead[-1].restart_clock()
        for dead in self._dead:
            result.problems += [Problem("left", text) for text in dead.left(self._gone_seconds)]
            result.gone_ms.append(round(dead.gone_seconds * 1000, 2))
        self._dead.clear()
        return owner

    def close(self, owner: OwnerUnderTest, *, tolerate: bool = False) -> str:
        """End an owner in good order; the error that closing raised, as text. With ``tolerate`` it may raise one."""
        owner.tell({"do": "close", "tolerate": tolerate})
        closed = owner.expect("closed")
        owner.leave()
        self._dead.append(owner)
        self.owner = None
        return str(closed["error"])

    def _close_and_reopen(self, result: CycleResult) -> None:
        assert self.owner is not None
        self.close(self.owner)
        self.copy_evidence()
        self.open(result)

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
                problems = damage_sealed_log(owner, victim, str(self.volume.store), chance)
                result.problems += problems or ()
                result.victim = "nothing sealed" if problems is None else "sealed segment"
            case _:
                seconds, problems = kill_worker(owner, victim, self.slow_seconds)
                result.restart_ms = round(seconds * 1000, 2)
                result.problems += problems
        owner.run_for(chance.uniform(0.01, 0.1))

    def look_without_reopening(self, owner: OwnerUnderTest, result: CycleResult) -> None:
        """Pause the load and compare what the living owner shows; its background work must go on."""
        paused = owner.ask("pause", "paused")
        owner.take_all()
        result.acked += sum(owner.acks.done)
        self.oracle.finish(owner.acks.done, killed=False, refused=paused["open"])
        workers = owner.ask("workers", "workers")
        if workers["background_error"]:
            result.problems.append(Problem("error", f"background work has ended: {workers['background_error']}"))
        self.look(owner, result)
        if result.problems:
            self.copy_evidence()

    # All

    def look(self, owner: OwnerUnderTest, result: CycleResult) -> None:
        """Compare everything in the store with what the oracle knows."""
        dump = owner.ask("dump", "dump")
        result.records = len(dump["records"])
        result.problems += [
            Problem("reads differ", f"scan and point read do not agree on {key!r}") for key in dump["differing"]
        ]
        result.problems += self.oracle.look((key, value, sequence) for key, value, sequence in dump["records"])

    def copy_evidence(self) -> None:
        """Keep the directory as it is now: opening it would change it, and so would an owner that lives on."""
        self._loaded = False
        if self.owner is not None:
            self.bury(self.owner)
        shutil.rmtree(self.evidence, ignore_errors=True)
        if self.volume.store.exists():
            shutil.copytree(self.volume.store, self.evidence / "store", copy_function=_copy_if_there)

    def put_evidence_back(self) -> None:
        """Make the store what it was when it was copied. REQUIRES: no owner."""
        shutil.rmtree(self.volume.store)
        shutil.copytree(self.evidence / "store", self.volume.store)


def _copy_if_there(source: str, destination: str) -> None:
    """Copy a file, unless a worker that has just missed its owner removes its output meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, destination)
