"""The process dies during an opening, at each operation in turn, and again: the next opening finds everything."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import StorageError
from lsmproc.formats.file_names import parse_file_name
from lsmproc.storage.directory_lock import DirectoryLock
from tests.faults.faulty_file_system import FaultPlan, Killed, OpenFileSystem, QuickFileSystem
from tests.faults.scripted_life import forget, forget_locks
from tests.tally import Tally

State = dict[bytes, bytes]


def open_store(directory: Path, open_file_system: OpenFileSystem = QuickFileSystem, **options: object) -> LSMStore:
    """A small store without threads."""
    config = LSMConfig.from_options(directory, **{"memtable_max_bytes": 1024, **options})
    return LSMStore(config, env=Env(background="inline", open_file_system=open_file_system))


def open_and_die(directory: Path, at: int | None, **options: object) -> FaultPlan:
    """Open with a file system that dies at its operation ``at``."""
    plan = FaultPlan(at=at)
    db = None
    try:
        db = open_store(directory, plan.open_file_system, **options)
        db.close()
    except Killed:
        if db is not None:
            forget(db)
        forget_locks()
        plan.give_back()
    return plan


def nothing(directory: Path) -> State:
    """No directory at all."""
    assert not directory.exists()
    return {}


def only_a_log(directory: Path) -> State:
    """A store that was never flushed."""
    with open_store(directory) as db:
        db.put(b"a", b"1")
        db.put(b"b", b"2")
        return dict(db.range())


def log_and_tables(directory: Path) -> State:
    """Tables in two levels, and a log in two segments."""
    with open_store(directory) as db:
        for number in range(60):
            db.put(b"%02d" % (number % 40), b"%d" % number * 20)
        db.compact_level(0)
        db.put(b"z", b"1")
    with open_store(directory) as db:
        db.put(b"y", b"1")
        return dict(db.range())


def a_blank_log(directory: Path) -> State:
    """The only live segment has no header, as after a crash right behind the first opening."""
    state = only_a_log(directory)
    with open_store(directory) as db:
        db.flush_memtable()
    number = max(path.stem for path in directory.glob("*.wal"))
    (directory / f"{number}.wal").write_bytes(bytes(200))
    return state


def a_hole(directory: Path) -> State:
    """The first of two segments has lost its end, which was never synced."""
    with open_store(directory, wal_sync="none") as db:
        db.put(b"a", b"1")
        db.put(b"b", b"2")
    with open_store(directory, wal_sync="none") as db:
        db.put(b"c", b"3")
    first = min(directory.glob("*.wal"))
    first.write_bytes(first.read_bytes()[:-3])
    return {b"a": b"1"}


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
@pytest.mark.parametrize(
    "before", [nothing, only_a_log, log_and_tables, a_blank_log, a_hole], ids=lambda before: before.__name__
)
def test_an_opening_that_is_killed_at_any_operation_loses_nothing(
    tmp_path: Path, tally: Tally, before: Callable[[Path], State], manifest: str
) -> None:
    """After a death at any operation the store opens, holds all acknowledged writes, and has no file too many."""
    original = tmp_path / "original"
    expected = before(original)
    for at in count():
        directory = tmp_path / "store"
        if original.exists():
            shutil.copytree(original, directory)
        plan = open_and_die(directory, at, manifest=manifest)
        check(directory, expected, f"killed at {plan.operations[-1]}")
        shutil.rmtree(directory)
        if not plan.killed:
            break
    assert 12 < at
    tally.add("deaths in an opening", at)


@pytest.mark.parametrize("before", [log_and_tables, a_hole, a_blank_log], ids=lambda before: before.__name__)
def test_openings_that_are_killed_one_after_the_other_lose_nothing(
    tmp_path: Path, before: Callable[[Path], State]
) -> None:
    """A death in the opening after a death in the opening, five times running."""
    original = tmp_path / "original"
    expected = before(original)
    for first in range(0, 22, 2):
        directory = tmp_path / "store"
        shutil.copytree(original, directory)
        where = [open_and_die(directory, (first + 7 * chain) % 20).operations[-1] for chain in range(5)]
        check(directory, expected, f"killed at {where}")
        shutil.rmtree(directory)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("before", [nothing, log_and_tables, a_hole], ids=lambda before: before.__name__)
def test_an_opening_that_fails_at_any_operation_gives_everything_back(
    tmp_path: Path, before: Callable[[Path], State], error: int
) -> None:
    """Where an operation fails the opening raises StorageError, or goes on; descriptors and lock are given back."""
    directory = tmp_path / "store"
    expected = before(directory)
    for at in count():
        plan = FaultPlan(at=at, error=error)
        try:
            open_store(directory, plan.open_file_system).close()
        except StorageError as raised:
            assert error == raised.errno
            assert raised.filename
        assert set() == plan.descriptors, plan.operations[-1]
        if not plan.reached:
            break
    check(directory, expected, "")


def test_the_lock_is_given_back_when_its_text_cannot_be_written(tmp_path: Path) -> None:
    """A full disk does not keep the owner out of its own directory."""
    plan = FaultPlan(at=0, count=100, error=errno.ENOSPC, files="LOCK", kinds=frozenset({"pwrite", "truncate"}))
    fs = plan.open_file_system(str(tmp_path))
    for _ in range(2):
        DirectoryLock(fs).close()
    fs.shut()


def check(directory: Path, expected: State, where: str) -> None:
    """The store holds what it must, takes a write that lasts, and has no orphans."""
    with open_store(directory) as db:
        assert expected == dict(db.range()), where
        db.put(b"after", b"x")
        live = {file.name for file in db.live_files()}
    with open_store(directory) as db:
        assert {**expected, b"after": b"x"} == dict(db.range()), where
    names = [path.name for path in directory.iterdir() if parse_file_name(path.name)]
    assert live == {name for name in names if name.endswith(".sst")}, where
    assert 1 == sum(name.startswith("MANIFEST") for name in names), where
    assert [] == list((directory / "tmp").iterdir()), where
