"""The segments of the log: a sync makes the names durable that its commits need, whenever a rotation comes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsmproc.errors import DurabilityError, NoSpaceError
from lsmproc.formats.log_format import put_body
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.version_set import FileNumbers
from lsmproc.storage.wal_recovery import replay_log
from lsmproc.storage.wal_writer import PwriteWal
from lsmproc.writing.log_segments import LogSegments
from tests.faults.faulty_file_system import FaultPlan, FaultyFileSystem


class MeddlingFileSystem(FaultyFileSystem):
    """Something else happens just before the names are synced."""

    before_sync_directory: Callable[[], None] | None = None

    def sync_directory(self, name: str = ".") -> None:
        """Let it happen, once."""
        meddle, self.before_sync_directory = self.before_sync_directory, None
        if meddle is not None:
            meddle()
        super().sync_directory(name)


@pytest.fixture
def plan() -> FaultPlan:
    """Records the operations."""
    return FaultPlan()


@pytest.fixture
def fs(tmp_path: Path, plan: FaultPlan) -> Iterator[MeddlingFileSystem]:
    """An empty directory."""
    fs = MeddlingFileSystem(str(tmp_path), plan)
    yield fs
    fs.shut()


@pytest.fixture
def log_of(fs: MeddlingFileSystem) -> Iterator[Callable[..., LogSegments]]:
    """Makes a log of one segment, whose next ones are made by the given function."""
    logs = []

    def make(new_wal: Callable[[FileSystem, int, int], PwriteWal] = PwriteWal) -> LogSegments:
        numbers = FileNumbers(1)
        log = LogSegments(
            fs,
            b"u" * 16,
            PwriteWal(fs, numbers.take(), 0),
            (),
            last_sequence=0,
            numbers=numbers,
            new_wal=new_wal,
            segment_bytes=4096,
        )
        logs.append(log)
        return log

    yield make
    for log in logs:
        log.close()


def test_a_sync_just_before_the_next_segment_is_made_does_not_count_for_its_name(
    log_of: Callable[..., LogSegments], plan: FaultPlan
) -> None:
    """The rotation has begun and the file is not there yet: a later sync in it must sync the directory again."""

    def new_wal(fs: FileSystem, number: int, size: int) -> PwriteWal:
        log.sync(log.current)
        return PwriteWal(fs, number, size)

    log = log_of(new_wal)
    log.rotate(0)
    log.sync(log.current)
    created = plan.operations.index("create 000002.wal")
    before, after = plan.operations[:created], plan.operations[created:]
    assert (1, 1) == (before.count("sync_directory ."), after.count("sync_directory ."))


def test_a_rotation_in_the_middle_of_a_sync_has_its_name_synced_by_the_next(
    log_of: Callable[..., LogSegments], fs: MeddlingFileSystem, plan: FaultPlan
) -> None:
    """Whether the first sync of the directory saw the new name is not known, so there is a second."""
    log = log_of()

    def rotate() -> None:
        log.rotate(0)

    fs.before_sync_directory = rotate
    log.sync(log.current)
    before = plan.operations.count("sync_directory .")
    log.sync(log.current)
    log.sync(log.current)
    assert before + 1 == plan.operations.count("sync_directory .")


def test_an_interrupted_sync_of_the_names_is_made_up_for(
    log_of: Callable[..., LogSegments], fs: MeddlingFileSystem, plan: FaultPlan
) -> None:
    """Ctrl-C is no failed sync: the next one does what this one did not."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    log = log_of()
    fs.before_sync_directory = interrupt
    with pytest.raises(KeyboardInterrupt):
        log.sync(log.current)
    assert 0 == plan.operations.count("sync_directory .")
    log.sync(log.current)
    assert 1 == plan.operations.count("sync_directory .")


@pytest.mark.parametrize("failing", ["000002.wal", "000001.wal"])
def test_a_rotation_that_finds_no_room_changes_nothing_and_the_next_one_works(
    log_of: Callable[..., LogSegments], fs: MeddlingFileSystem, plan: FaultPlan, failing: str
) -> None:
    """Whether the next header has no room, or the seal that goes in front of it: writes go on, and so does the log."""
    log = log_of()
    log.current.append(put_body(1, b"key", b"before"), 1)
    plan.operations.clear()
    plan.at, plan.count, plan.error, plan.kinds, plan.files = 0, 1 << 30, errno.ENOSPC, frozenset({"pwrite"}), failing
    for _ in range(2):
        with pytest.raises(NoSpaceError):
            log.rotate(1)
        assert not log.current.sealed
        assert 1 == log.current.number
    assert [b"key"] == list(replay_log(fs, [1, 2], 1, b"u" * 16).records)
    plan.at = None
    log.current.append(put_body(2, b"later", b"value"), 2)
    log.rotate(2)
    log.finished = []
    assert 2 == log.current.number
    log.current.append(put_body(3, b"last", b"value"), 3)
    replayed = replay_log(fs, [1, 2], 1, b"u" * 16)
    assert [b"key", b"later", b"last"] == list(replayed.records)
    assert () == replayed.unusable


def test_no_sync_succeeds_after_one_has_failed(log_of: Callable[..., LogSegments], plan: FaultPlan) -> None:
    """The kernel tells of a failure once: a second sync would say yes to bytes that are gone."""
    log = log_of()
    log.current.append(put_body(1, b"key", b"value"), 1)
    plan.kinds, plan.at, plan.error = frozenset({"fdatasync"}), 0, errno.EIO
    plan.operations.clear()
    for _ in range(3):
        with pytest.raises(DurabilityError):
            log.sync(log.current)
    assert 1 == len(plan.operations)
