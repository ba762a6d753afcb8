"""The power goes after each operation of a store's life: what was synced is there, and no hole in what was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.stress.disk_model import POLICIES, Disk, DiskModel, lay_out
from tests.faults.faulty_file_system import OpenFileSystem, QuickFileSystem

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


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one: thousands of small stores are made in it."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)


def open_store(directory: Path, open_file_system: OpenFileSystem, **options: object) -> LSMStore:
    """A store whose background work runs in its writers' calls; its environment is private and starts nothing."""
    config = LSMConfig.from_options(directory, **{"memtable_max_bytes": 1024, "compression": "none", **options})
    return LSMStore(config, env=Env(background="inline", open_file_system=open_file_system))


def long_life(life: Life) -> None:
    """Puts, batches, deletes and syncs; rotations, flushes and compactions; closing and opening."""
    for step in range(26):
        life.put(sync=step % 9 == 5)
        if step % 6 == 2:
            life.batch(4)
        if step == 17:
            life.sync()
    life.reopen()
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


def recovered(directory: Path) -> State:
    """What a store holds."""
    with open_store(directory, QuickFileSystem) as db:
        return dict(db.range())


def check(directory: Path, files: dict[str, bytes], states: list[State], facts: dict[str, int], *, kept: bool) -> None:
    """Open what a cut left: a prefix of the writes, with all that was promised; then writes must work, and last."""
    lay_out(directory, files)
    found = recovered(directory)
    least, most = facts["acked" if kept else "synced"], facts["begun"]
    assert found in states[least : most + 1], (
        f"not a prefix of the writes {least}..{most}; "
        f"like {[n for n, state in enumerate(states) if state == found]}; files {sorted(files)}"
    )
    with open_store(directory, QuickFileSystem) as db:
        assert found == dict(db.range())
        db.put(b"after", b"the cut")
    found[b"after"] = b"the cut"
    assert found == recovered(directory)


@pytest.mark.timeout(110)
@pytest.mark.parametrize(
    ("script", "options", "every"),
    [
        (long_life, {"wal_sync": "interval"}, 5),
        (long_life, {"wal_sync": "none", "manifest": "snapshot"}, 11),
        (long_life, {"wal_sync": "every_write"}, 11),
        (life_of_open_and_close, {"wal_sync": "none"}, 2),
        (life_of_open_and_close, {"wal_sync": "interval", "manifest": "snapshot"}, 3),
    ],
)
def test_a_power_cut_leaves_a_prefix_of_the_writes_with_all_that_was_synced(
    scratch: Path,
    capsys: pytest.CaptureFixture[str],
    script: Callable[[Life], None],
    options: dict[str, object],
    every: int,
) -> None:
    """After each operation, in each way a disk may lose power, the store opens and holds a prefix, batches whole."""
    disk = Disk()
    life = Life(scratch / "store", disk, **options)
    script(life)
    if options["wal_sync"] == "every_write":
        disk.journal = [("synced", each[1]) if each[0] == "acked" else each for each in disk.journal]
    rng = Random(20240)
    checked = 0
    seen = set()
    model = DiskModel()
    for position, operation in enumerate(disk.journal):
        model.apply(operation)
        if "acked" not in model.facts or operation[0] in {"begun", "acked", "synced"}:
            continue
        for number, policy in enumerate(POLICIES):
            files = model.after_cut(policy, rng)
            state = hash((frozenset(files.items()), *model.facts.values()))
            # Every operation is covered, each with some of the policies; all of them are, several times each.
            if (position + number) % every or state in seen:
                continue
            seen.add(state)
            directory = scratch / "cut"
            try:
                check(directory, files, life.states, model.facts, kept=policy == "keep")
            except BaseException as error:
                error.add_note(f"power cut after operation {position} {operation!r:.90} with policy {policy!r}")
                raise
            shutil.rmtree(directory)
            checked += 1
    with capsys.disabled():
        print(  # noqa: T201 - how much was checked is part of the result
            f"\n{script.__name__} {options}: {len(disk.journal)} operations, {checked} states after a power cut checked"
        )
    assert checked > 100
