"""The power goes after each operation of a store's life: what was synced is there, and no hole in what was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path
from random import Random

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.stress.disk_model import POLICIES, Disk, DiskModel, Operation, lay_out
from tests.faults.faulty_file_system import OpenFileSystem, QuickFileSystem
from tests.faults.hurried_store import hurried
from tests.tally import Tally

State = dict[bytes, bytes]
Writes = list[tuple[bytes, bytes | None]]


class Life:
    """A program that uses a store, and remembers what it was told."""

    def __init__(self, directory: Path, disk: Disk, **options: object) -> None:
        self.disk = disk
        self.states: list[State] = [{}]  # after each write
        self._directory = directory
        self._options = options
        self._numbers = count(1)
        self.db = self._open()

    def _open(self) -> LSMStore:
        return open_store(self._directory, self.disk.open_file_system, **self._options)

    def write(self, writes: Writes, *, sync: bool = False) -> None:
        """One commit, with notes of when it began and when it was acknowledged."""
        state = dict(self.states[-1])
        for key, value in writes:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self.states.append(state)
        number = len(self.states) - 1
        self.disk.note("begun", number)
        with self.db.write_batch(sync=sync or None) as batch:
            for key, value in writes:
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
        self.disk.note("acked", number)
        if sync:
            self.disk.note("synced", number)

    def put(self, size: int = 40, *, sync: bool = False) -> None:
        """A put of a value that is like no other."""
        number = next(self._numbers)
        self.write([(b"k%02d" % (number % 23), b"%d:" % number + b"\0" * (number % 3) + b"v" * size)], sync=sync)

    def batch(self, records: int) -> None:
        """A batch with a delete among its puts."""
        number = next(self._numbers)
        writes: Writes = [(b"b%02d" % i, b"%d/%d" % (number, i)) for i in range(records)]
        self.write([*writes, (b"k%02d" % (number % 23), None)])

    def sync(self) -> None:
        """Everything so far is durable when this returns."""
        self.db.sync()
        self.disk.note("synced", len(self.states) - 1)

    def reopen(self) -> None:
        """Close, which syncs, and open again."""
        self.db.close()
        if self._options["wal_sync"] != "none":
            self.disk.note("synced", len(self.states) - 1)
        self.db = self._open()


def open_store(directory: Path, open_file_system: OpenFileSystem, **options: object) -> LSMStore:
    """A store whose background work runs in its writers' calls; its environment is private and starts nothing."""
    config = LSMConfig.from_options(directory, **{"memtable_max_bytes": 1024, "compression": "none", **options})
    return LSMStore(config, env=Env(background="inline", block_cache_bytes=0, open_file_system=open_file_system))


def long_life(life: Life) -> None:
    """Puts, batches, deletes and syncs; rotations, flushes and compactions; closing and opening."""
    for step in range(26):
        life.put(sync=step % 9 == 5)
        if step % 6 == 2:
            life.batch(4)
        if step == 17:
            life.sync()
    life.reopen()
    with life.db.snapshot():
        for _ in range(5):
            life.put(90)
        life.db.flush_memtable()
    life.put()
    life.db.compact_level(0)
    life.put(sync=True)
    life.batch(3)
    life.reopen()
    life.put(1500)
    life.put(sync=True)
    life.put()
    life.db.close()


def life_of_open_and_close(life: Life) -> None:
    """Openings that find little or nothing, one after the other."""
    for _ in range(3):
        life.reopen()
        life.put()
    life.reopen()
    life.reopen()
    life.put(sync=True)
    life.put()
    life.db.close()


LIVES = [
    (long_life, {"wal_sync": "interval"}),
    (long_life, {"wal_sync": "none", "manifest": "snapshot"}),
    (long_life, {"wal_sync": "every_write"}),
    (life_of_open_and_close, {"wal_sync": "none"}),
    (life_of_open_and_close, {"wal_sync": "interval", "manifest": "snapshot"}),
    (long_life, {"wal_sync": "none"}),
    (long_life, {"wal_sync": "interval", "manifest": "snapshot"}),
    (long_life, {"wal_sync": "every_write", "manifest": "snapshot"}),
]
_QUICK_LIVES = 5
_AFTER = (b"after", b"the cut")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The manifest rolls early, and the clock of the log's syncs ticks with each look at it."""
    with hurried(monkeypatch):
        yield


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(len(LIVES)))
def test_a_power_cut_leaves_a_prefix_of_the_writes_with_all_that_was_synced(
    scratch: Path, full: bool, tally: Tally, number: int
) -> None:
    """After each operation, in each way a disk may lose power, the store opens and holds a prefix, batches whole.

    What the opening shows is durable by then: a second cut, in or behind the opening, takes nothing of it away.
    """
    if number >= _QUICK_LIVES and not full:
        return
    script, options = LIVES[number]
    life = lived(scratch, script, options)
    rng = Random(20240)
    checked: set[int] = set()
    seconds = 0
    # Every operation is covered, each with some of the ways; all of them are, many times each.
    for position, operation, policy, files, facts in islice(all_cuts(life, options, rng), 0, None, 2 if full else 16):
        with noting(f"power cut after operation {position} {operation!r:.90} with policy {policy!r}"):
            expected = states_between(life, facts, least="acked" if policy == "keep" else "synced")
            model = durable(files)
            disk = Disk(model.names)
            found = recovered(scratch / "cut", files, disk, expected)
            seconds += second_cuts(scratch, model, disk, found, rng, every=15 if full else 110)
        checked.add(hash(frozenset(files.items())))
    tally.add("states after a power cut", len(checked))
    tally.add("second power cuts, in a recovery or behind it", seconds)
    assert (800 if full else 80) < len(checked)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(len(LIVES)))
def test_what_a_recovery_shows_after_a_death_is_durable_with_the_next_sync(
    scratch: Path, full: bool, tally: Tally, number: int
) -> None:
    """The process dies, which loses nothing; the next owner syncs one write, and the power goes: all is there.

    The segments that it replayed were never synced by anybody before: recovery must see to what it relies on.
    """
    if number >= _QUICK_LIVES and not full:
        return
    script, options = LIVES[number]
    life = lived(scratch, script, options)
    rng = Random(20252)
    for position, operation, model in positions(life, options):
        if (position + number) % (1 if full else 4):
            continue
        with noting(f"death after operation {position} {operation!r:.90}, then a power cut"):
            disk = Disk(model.names)
            expected = states_between(life, model.facts, least="acked")
            found = recovered(scratch / "cut", model.after_cut("keep", rng), disk, expected)
            prefixes = states_between(life, model.facts, least="synced")
            seconds = second_cuts(
                scratch, model.copy(), disk, found, rng, every=8 if full else 25, before_sync=prefixes
            )
        tally.add("power cuts in the recovery from a death, or behind it", seconds)


def lived(scratch: Path, script: Callable[[Life], None], options: dict[str, object]) -> Life:
    """Live a script on a disk with a journal."""
    life = Life(scratch / "store", Disk(), **options)
    script(life)
    return life


def positions(life: Life, options: dict[str, object]) -> Iterator[tuple[int, Operation, DiskModel]]:
    """Each operation of the life with the model of the disk behind it; the model goes on."""
    model = DiskModel()
    for position, operation in enumerate(life.disk.journal):
        model.apply(operation)
        if options["wal_sync"] == "every_write":
            model.facts["synced"] = max(model.facts["acked"], model.facts["synced"])
        if operation[0] not in {"begun", "acked", "synced"}:
            yield position, operation, model


def all_cuts(
    life: Life, options: dict[str, object], rng: Random
) -> Iterator[tuple[int, Operation, str, dict[str, bytes], dict[str, int]]]:
    """What a cut may leave, for each operation, in as many ways as the model knows; nothing twice."""
    seen = set()
    for position, operation, model in positions(life, options):
        known = tuple(model.facts.values())
        ways = ((policy, model.after_cut(policy, rng)) for policy in POLICIES)
        for policy, files in chain(ways, model.single_cuts()):
            state = hash((frozenset(files.items()), known))
            if state not in seen:
                seen.add(state)
                yield position, operation, policy, files, dict(model.facts)


def states_between(life: Life, facts: dict[str, int], *, least: str) -> list[State]:
    """What may be there: the writes up to the last ``least``, or to one behind it, the last begun at most."""
    return life.states[facts[least] : facts["begun"] + 1]


def durable(files: dict[str, bytes]) -> DiskModel:
    """A disk that holds just these files, for good."""
    return DiskModel({name: node for node, name in enumerate(files, 1)}, list(files.values()))


def recovered(directory: Path, files: dict[str, bytes], disk: Disk, expected: list[State]) -> State:
    """Open what was left, compare, put and sync one more write, close; what was found. The disk keeps the journal."""
    lay_out(directory, files)
    try:
        with open_store(directory, disk.open_file_system) as db:
            found = dict(db.range())
            assert found in expected, f"not one of {len(expected)} prefixes; files {sorted(files)}; found {found}"
            disk.note("begun", 1)
            db.put(*_AFTER, sync=True)
            disk.note("synced", 1)
            assert {**found, **dict([_AFTER])} == dict(db.range())
        return found
    finally:
        shutil.rmtree(directory)


def second_cuts(
    scratch: Path,
    model: DiskModel,
    disk: Disk,
    found: State,
    rng: Random,
    *,
    every: int,
    before_sync: Sequence[State] = (),
) -> int:
    """Cut the power in what the recovery did, about once in ``every`` operations, and behind it: all must be there.

    ``before_sync``: what may be there in its place, until the write behind the recovery is synced. Returns how often.
    """
    before = before_sync or [found]
    after = [{**found, **dict([_AFTER])}]
    cuts = 0
    offset = rng.randrange(every)
    model.facts = {"begun": 0, "acked": 0, "synced": 0}
    for position, operation in enumerate(disk.journal):
        model.apply(operation)
        synced = operation == ("synced", 1)
        if not synced and (position + offset) % every:
            continue
        policy = "drop" if synced or rng.random() < 0.5 else rng.choice(POLICIES)
        expected = after if model.facts["synced"] else [*before, *after] if model.facts["begun"] else before
        with noting(f"and a second cut after operation {position} {operation!r:.90} with policy {policy!r}"):
            lay_out(scratch / "second", model.after_cut(policy, rng))
            with open_store(scratch / "second", QuickFileSystem) as db:
                assert dict(db.range()) in expected
            shutil.rmtree(scratch / "second")
            cuts += 1
    return cuts


@contextmanager
def noting(text: str) -> Iterator[None]:
    """Say where it failed."""
    try:
        yield
    except BaseException as error:
        error.add_note(text)
        raise
