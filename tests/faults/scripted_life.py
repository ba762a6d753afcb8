"""The scripted life of a store, on file systems that fail, with a program that remembers what it was told.

The script opens a store, writes in every way, rotates, flushes under a snapshot, compacts, moves tables, rolls the
manifest, closes and opens again. :class:`Program` runs it on one thread, jobs included, so that the k-th operation on
the disk is the same one in every run. It notes what each call may have left, and compares whatever it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from lsmproc import LSMStore, Snapshot
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import DurabilityError, Error
from lsmproc.formats.file_names import parse_file_name
from lsmproc.formats.messages import FlushRequest
from lsmproc.protocols import Priority
from lsmproc.workers.inline_background import InlineBackground
from lsmproc.workers.job_run import OnReply, Reply, Request, failed
from tests.faults.faulty_file_system import FaultPlan, Killed, OpenFileSystem, QuickFileSystem

State = dict[bytes, bytes]
Writes = list[tuple[bytes, bytes | None]]

CALLS = (Error, TimeoutError)  # what a call may raise
_ATTEMPTS = 3  # at one job, as a supervisor makes them
_WAIT_SECONDS = 0.02  # for what only a healthy disk can bring


@dataclass
class Seams:
    """The file systems of the owner, of flush jobs and of compaction jobs."""

    owner: OpenFileSystem = QuickFileSystem
    flush: OpenFileSystem = QuickFileSystem
    compaction: OpenFileSystem = QuickFileSystem

    @classmethod
    def failing(cls, plan: FaultPlan, who: str) -> Seams:
        """The plan is for one of them, or for "everybody"."""
        if who == "everybody":
            return cls(plan.open_file_system, plan.open_file_system, plan.open_file_system)
        return replace(cls(), **{who: plan.open_file_system})

    @classmethod
    def dying(cls, plan: FaultPlan, who: str) -> Seams:
        """As ``failing``, and the others are of the same process: when it is killed, they are."""
        beside = plan.beside().open_file_system
        return (
            cls.failing(plan, who)
            if who == "everybody"
            else replace(cls(beside, beside, beside), **{who: plan.open_file_system})
        )


class SeamedBackground(InlineBackground):
    """Runs jobs inline, each kind on its own file system; a job whose worker dies is tried again, as workers do it."""

    def __init__(self, env: Env, seams: Seams, mortal: FaultPlan | None) -> None:
        """``mortal``: the plan whose deaths are those of a worker, if any are."""
        super().__init__(1, 1, env.rate_limiter, open_file_system=seams.flush)
        self.deaths = 0  # of workers
        self._seams = seams
        self._mortal = mortal

    def _run(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        self._open_file_system = self._seams.flush if isinstance(request, FlushRequest) else self._seams.compaction
        answers: list[Reply] = []
        try:
            # An inline job answers that it failed before it lets a death through; a worker that died answers nothing.
            super()._run(request, priority, on_reply if self._mortal is None else answers.append)
        except Killed as killed:
            if self._mortal is None:
                raise
            self.deaths += 1
            self._mortal.give_back()
            self._mortal.killed = False
            if request.attempt < _ATTEMPTS:
                self._run(replace(request, attempt=request.attempt + 1), priority, on_reply)
            else:
                died = failed(request, RuntimeError(repr(killed)))
                on_reply(replace(died, error="WorkerDiedError", retriable=False))
        else:
            for answer in answers:
                on_reply(answer)


def open_store(directory: Path, seams: Seams, mortal: FaultPlan | None = None, **options: object) -> LSMStore:
    """A small store whose jobs run in its callers' calls."""
    shape = {
        "memtable_max_bytes": 1024,
        "compression": "none",
        "level0_compaction_trigger": 2,
        "block_cache_bytes": 0,
        "max_immutable_memtables": 2,
    }
    config = LSMConfig.from_options(directory, **{**shape, **options})
    env = Env(background="inline", block_cache_bytes=0, open_file_system=seams.owner)
    env.background = SeamedBackground(env, seams, mortal)
    return LSMStore(config, env=env)


def forget(db: LSMStore) -> None:
    """Drop the handle of a store whose process has died: nothing of it runs any more."""
    db._finalizer.detach()
    vars(__import__("lsmproc.opening.store_parts", fromlist=["_open_stores"]))["_open_stores"]().discard(db._parts)
    forget_locks()


def forget_locks() -> None:
    """What the kernel does for a process that has died: the registry of open directories is memory of that process."""
    vars(__import__("lsmproc.storage.directory_lock", fromlist=["_open_here"]))["_open_here"].clear()


class Program:
    """Lives the script, remembers, compares.

    Attributes:
        possible: what the store may hold: what was acknowledged, with and without what a call left open.
        errors: what the calls have raised.
        reads_may_fail: whether ``look`` may meet errors.
        reopenings: how often a step was done only once the store had been closed and opened.
        was_poisoned: whether a sync of the log has ever failed.
    """

    def __init__(self, directory: Path, seams: Seams, mortal: FaultPlan | None = None, **options: object) -> None:
        """Nothing is opened yet."""
        self.possible: list[State] = [{}]
        self.errors: list[BaseException] = []
        self.reads_may_fail = False
        self.reopenings = 0
        self.was_poisoned = False
        self._directory = directory
        self._seams = seams
        self._mortal = mortal
        self._options = options
        self._db: LSMStore | None = None
        self._snapshot: tuple[Snapshot, list[State]] | None = None
        self._poisoned = False

    @property
    def db(self) -> LSMStore:
        """The open store."""
        if self._db is None:
            self._db = open_store(self._directory, self._seams, self._mortal, **self._options)
            self._poisoned = False
        return self._db

    # The steps of the script

    def open(self) -> None:
        """Open, if it is not open."""
        self.db.get(b"none")

    def put(self, number: int, size: int = 30, *, sync: bool | None = None) -> None:
        """Put a value that no other step puts."""
        key, value = b"k%02d" % (number % 7), b"%d:" % number + b"v" * size
        self._write([(key, value)], lambda: self.db.put(key, value, sync=sync, timeout=_WAIT_SECONDS))

    def delete(self, number: int) -> None:
        """Delete what some step before has put."""
        key = b"k%02d" % (number % 7)
        self._write([(key, None)], lambda: self.db.delete(key, timeout=_WAIT_SECONDS))

    def batch(self, number: int, size: int = 20) -> None:
        """Four puts and a delete that belong together."""
        writes: Writes = [(b"b%d" % i, b"%d/%d" % (number, i) + b"b" * size) for i in range(4)]
        writes.append((b"k%02d" % (number % 7), None))

        def commit() -> None:
            with self.db.write_batch(timeout=_WAIT_SECONDS) as batch:
                for key, value in writes:
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)

        self._write(writes, commit)

    def sync(self) -> None:
        """Ask for durability."""
        self._durable(self.db.sync)

    def take_snapshot(self) -> None:
        """Hold the present state until ``compare_snapshot``."""
        self._snapshot = (self.db.snapshot(), [*self.possible])

    def compare_snapshot(self) -> None:
        """The snapshot shows what the store showed when it was taken, unless its store was closed since."""
        if self._snapshot is not None:
            snapshot, states = self._snapshot
            assert dict(snapshot.range()) in states
            snapshot.close()
            self._snapshot = None

    def flush(self) -> None:
        """Put the memtable into a table."""
        self.db.flush_memtable(timeout=_WAIT_SECONDS)

    def compact(self, level: int) -> None:
        """Merge or move a level down."""
        self.db.compact_level(level, timeout=_WAIT_SECONDS)

    def close(self) -> None:
        """Close; what is open afterwards is nothing, whatever it raised."""
        self._snapshot = None
        if self._db is not None:
            db, self._db = self._db, None
            self._durable(db.close)
            assert db.closed

    # Around the steps

    def look(self) -> None:
        """Compare everything that the open store shows, in two ways."""
        if self._db is None:
            return
        try:
            shown = dict(self._db.range())
            assert shown in self.possible, f"shown {shown}, possible {self.possible}"
            for key in (b"k01", b"b1", b"none"):
                assert shown.get(key) == self._db.get(key)
        except CALLS as error:
            if not self.reads_may_fail:
                raise
            self._keep(error)

    def once(self, step: Step) -> bool:
        """Run a step; whether it returned. A call that raises must raise one of ours."""
        try:
            step(self)
        except CALLS as error:
            self._keep(error)
            self.look()
            return False
        self.look()
        return True

    def through(self, step: Step) -> None:
        """Run a step until it is done: a single fault costs an attempt or two, and sometimes a reopening."""
        for attempt in range(4):
            if self.once(step):
                return
            if attempt or isinstance(self.errors[-1], DurabilityError):
                self._refused()
                self.reopenings += self._db is not None
                self.once(Program.close)
        raise AssertionError(f"a step is not done after a single fault: {self.errors}")

    def forget(self) -> None:
        """The process has died."""
        if self._db is not None:
            forget(self._db)
        forget_locks()

    def _keep(self, error: BaseException) -> None:
        """Without the frames it came through, which hold open files."""
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self.errors.append(error)

    def _write(self, writes: Writes, call: Callable[[], None]) -> None:
        poisoned = self._poisoned
        try:
            call()
        except DurabilityError:
            self._poisoned = self.was_poisoned = True
            if not poisoned:
                self.possible = [*self.possible, *self._after(writes)]
            raise
        except CALLS:
            raise  # Nothing was written.
        except Killed:
            self.possible = [*self.possible, *self._after(writes)]
            raise
        self.possible = self._after(writes)

    def _durable(self, call: Callable[[], None]) -> None:
        try:
            call()
        except DurabilityError:
            self._poisoned = self.was_poisoned = True
            raise

    def _after(self, writes: Writes) -> list[State]:
        states = []
        for before in self.possible:
            state = {**before}
            for key, value in writes:
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
            if state not in states:
                states.append(state)
        return states

    def _refused(self) -> None:
        """After a failed sync of the log writes are refused, and reads go on."""
        if self._poisoned and self._db is not None:
            with pytest.raises(DurabilityError):
                self._db.put(b"refused", b"")
            with pytest.raises(DurabilityError):
                self._db.put(b"refused", b"", sync=True)
            self.look()


Step = Callable[[Program], None]


def script() -> Iterator[Step]:
    """The steps, in order."""
    number = count(1)

    def put(size: int = 30, *, sync: bool | None = None) -> Step:
        n = next(number)
        return lambda program: program.put(n, size, sync=sync)

    def batch(size: int = 20) -> Step:
        n = next(number)
        return lambda program: program.batch(n, size)

    def delete() -> Step:
        n = next(number) + 2
        return lambda program: program.delete(n)

    yield Program.open
    yield from (put(), put(), batch(), delete(), put(sync=True))
    yield Program.take_snapshot
    yield from (put(500), put(500), put())
    yield Program.compare_snapshot
    yield Program.flush
    yield from (put(400), batch(), Program.sync, put(500), put())
    yield lambda program: program.compact(0)
    yield lambda program: program.compact(1)
    yield from (put(), Program.close, Program.open, put(), delete(), put(1100), put())
    yield Program.flush
    yield from (Program.close, Program.open, Program.close, Program.open, put(sync=True), Program.close)


def check_reopened(directory: Path, possible: list[State], **options: object) -> State:
    """On a healthy disk the store opens, shows one of the states, takes a write that lasts, has no file too many."""
    with open_store(directory, Seams(), **options) as db:
        found = dict(db.range())
        assert found in possible, f"found {found}, possible {possible}"
        for key in (b"k01", b"b1", b"none"):
            assert found.get(key) == db.get(key)
        db.put(b"after", b"x")
        assert_no_orphans(directory, db)
    with open_store(directory, Seams(), **options) as db:
        assert {**found, b"after": b"x"} == dict(db.range())
    return found


def assert_no_orphans(directory: Path, db: LSMStore) -> None:
    """Every file is one that the store uses."""
    log = db._parts.log
    assert log is not None
    live = {file.name for file in db.live_files()} | {log.current.name}
    live |= {f"{end.number:06d}.wal" for end in log.finished}
    live |= {f"{end.number:06d}.wal" for each in db._write_path.view.immutables for end in each.segments}
    names = {path.name for path in directory.iterdir() if parse_file_name(path.name)}
    manifests = {name for name in names if name.startswith("MANIFEST")}
    assert 1 == len(manifests)
    assert live == names - manifests
    assert [] == list((directory / "tmp").iterdir())
