"""What every segment of the log promises: appended is found, interrupted or refused is not, synced is promised."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.errors import CorruptionError, DurabilityError, NoSpaceError, StorageError
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader, batch_body, delete_body, put_body
from lsmproc.formats.messages import SegmentEnd
from lsmproc.protocols import Wal
from lsmproc.storage.mapped_wal import MappedWal
from lsmproc.storage.wal_reader import Records, RecoveredLog, apply_frames, is_blank, read_log
from lsmproc.storage.wal_runs import read_runs
from lsmproc.storage.wal_writer import PwriteWal
from tests.faults.faulty_file_system import FaultPlan, FaultyFileSystem
from tests.storage.sorted_runs import newest_of

STORE = b"one store's uuid"
HEADER = LogHeader(KIND_WAL, STORE, 3, 99)

WALS = pytest.mark.parametrize("make_wal", [PwriteWal, MappedWal])
MakeWal = type[PwriteWal | MappedWal]


@pytest.fixture
def plan() -> FaultPlan:
    """What goes wrong; nothing at first."""
    return FaultPlan()


@pytest.fixture
def fs(tmp_path: Path, plan: FaultPlan) -> Iterator[FaultyFileSystem]:
    """A directory."""
    fs = plan.open_file_system(str(tmp_path))
    yield fs
    fs.shut()


def begun(make_wal: MakeWal, fs: FaultyFileSystem, size: int = 4096) -> Wal:
    """A segment that takes frames."""
    wal = make_wal(fs, 3, size)
    wal.begin(HEADER, 5)
    return wal


def read(fs: FaultyFileSystem) -> tuple[Records, RecoveredLog]:
    """What recovery finds."""
    records: Records = {}
    log = read_log(fs, "000003.wal", KIND_WAL, STORE, lambda frames: apply_frames(records, frames))
    return records, log


@WALS
def test_appended_frames_are_found_without_a_close_or_a_sync(make_wal: MakeWal, fs: FaultyFileSystem) -> None:
    """As after the death of the process: puts, deletes, batches, empty values, values that end in zeros."""
    wal = begun(make_wal, fs)
    assert (HEADER_SIZE, 5) == (wal.end, wal.last_sequence)
    bodies = [
        put_body(6, b"a", b"1"), put_body(7, b"b", b""), delete_body(8, b"a"),
        batch_body(9, [b"c", b"d"], [b"3\0\0", None]), put_body(10, b"e", bytes(20)),
    ]  # fmt: skip
    ends = [wal.append(body, sequence) for sequence, body in enumerate(bodies, 6)]
    records, log = read(fs)
    assert {b"a": (8, None), b"b": (7, b""), b"c": (9, b"3\0\0"), b"d": (9, None), b"e": (10, bytes(20))} == records
    assert (ends[-1], 10, False) == (log.end, log.last_sequence, log.dirty_tail)
    assert (ends[-1], 10) == (wal.end, wal.last_sequence)
    wal.close()


@WALS
def test_a_segment_without_a_header_is_blank_and_with_one_it_is_not(make_wal: MakeWal, fs: FaultyFileSystem) -> None:
    """Space allocated ahead is no part of the log."""
    wal = make_wal(fs, 3, 8192)
    assert is_blank(fs, wal.name)
    wal.begin(HEADER, 0)
    assert not is_blank(fs, wal.name)
    wal.close()


@WALS
@pytest.mark.parametrize("allocated", [0, 4096, 64 << 10])
def test_a_segment_grows_past_what_was_allocated(make_wal: MakeWal, fs: FaultyFileSystem, allocated: int) -> None:
    """Frames larger than a read chunk, and more of them than the allocated space holds."""
    wal = begun(make_wal, fs, allocated)
    values = [bytes([number]) * size for number, size in enumerate((10, 3 << 20, 5, (1 << 20) + 1, 2 << 20, 0))]
    for sequence, value in enumerate(values, 6):
        wal.append(put_body(sequence, b"%d" % sequence, value), sequence)
    records, log = read(fs)
    assert values == [value for _, value in records.values()]
    wal.trim()
    wal.close()
    assert wal.end == log.end == (Path(fs.path) / wal.name).stat().st_size


@WALS
def test_a_sealed_segment_is_what_its_end_says(make_wal: MakeWal, fs: FaultyFileSystem) -> None:
    """A flush reads it strictly: the right end and checksum, or CorruptionError."""
    wal = begun(make_wal, fs)
    wal.append(put_body(6, b"a", b"1"), 6)
    end = wal.seal()
    assert wal.sealed
    assert SegmentEnd(3, wal.end, end.checksum, 6) == end
    assert {b"a": (6, b"1")} == newest_of(read_runs(fs, end, STORE))
    wrong = [
        SegmentEnd(3, end.end - 1, end.checksum, 6),
        SegmentEnd(3, end.end + 1, end.checksum ^ 1, 6),
        SegmentEnd(3, end.end, end.checksum ^ 1, 6),
    ]
    for each in wrong:
        with pytest.raises(CorruptionError) as caught:
            read_runs(fs, each, STORE)
        assert wal.name == caught.value.file
    wal.close()


@WALS
def test_every_flipped_byte_of_a_sealed_segment_is_corruption_for_a_flush(
    make_wal: MakeWal, fs: FaultyFileSystem, tmp_path: Path
) -> None:
    """A flush that took damage for the end of the log would lose what follows when the segment is removed."""
    wal = begun(make_wal, fs)
    for sequence in range(6, 10):
        wal.append(put_body(sequence, b"k%d" % sequence, b"v"), sequence)
    end = wal.seal()
    wal.trim()
    wal.close()
    path = tmp_path / wal.name
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(CorruptionError) as caught:
            read_runs(fs, end, STORE)
        assert wal.name == caught.value.file
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptionError) as caught:
            read_runs(fs, end, STORE)
        assert wal.name == caught.value.file


@WALS
def test_a_promise_covers_what_was_synced_and_no_commit_after_it(make_wal: MakeWal, fs: FaultyFileSystem) -> None:
    """A commit between a sync and its promise still needs a sync of its own."""
    wal = begun(make_wal, fs)
    wal.append(put_body(6, b"a", b"1"), 6)
    covered = wal.sync()
    assert wal.end == covered
    wal.append(put_body(7, b"b", b"2"), 7)
    wal.promise(covered)
    assert covered == wal.durable_end
    assert covered == read(fs)[1].promised_end
    again = wal.sync()
    assert again == wal.end
    wal.promise(again)
    assert wal.durable_end == wal.end
    assert again == read(fs)[1].promised_end
    wal.close()


@WALS
def test_a_sync_really_syncs_whenever_a_commit_is_not_durable_yet(
    make_wal: MakeWal, fs: FaultyFileSystem, plan: FaultPlan
) -> None:
    """A commit that came while another sync was running is not taken for durable with it."""
    wal = begun(make_wal, fs)
    wal.append(put_body(6, b"a", b"1"), 6)
    covered = wal.sync()
    wal.append(put_body(7, b"b", b"2"), 7)
    wal.promise(covered)
    plan.operations.clear()
    wal.sync()
    assert ["fdatasync 000003.wal"] == plan.operations
    wal.promise(wal.end)
    plan.operations.clear()
    wal.sync()
    assert [] == plan.operations
    wal.close()


@WALS
def test_a_failed_sync_is_a_durability_error(make_wal: MakeWal, fs: FaultyFileSystem, plan: FaultPlan) -> None:
    """It names the file and keeps the errno."""
    wal = begun(make_wal, fs)
    wal.append(put_body(6, b"a", b"1"), 6)
    plan.at, plan.error, plan.kinds = 0, errno.EIO, frozenset({"fdatasync"})
    plan.operations.clear()
    with pytest.raises(DurabilityError) as caught:
        wal.sync()
    assert (errno.EIO, wal.name) == (caught.value.errno, caught.value.filename)
    assert 0 == wal.durable_end
    wal.close()


@WALS
def test_a_full_disk_at_creation_leaves_no_file(make_wal: MakeWal, fs: FaultyFileSystem, plan: FaultPlan) -> None:
    """A failed allocation may leave a partly grown file; it is removed."""
    plan.at, plan.error, plan.kinds = 0, errno.ENOSPC, frozenset({"allocate"})
    with pytest.raises(NoSpaceError) as caught:
        make_wal(fs, 3, 4096)
    assert "000003.wal" == caught.value.filename
    assert [] == fs.list_directory()


@WALS
def test_a_refused_append_leaves_the_segment_as_it_was(
    make_wal: MakeWal, fs: FaultyFileSystem, plan: FaultPlan
) -> None:
    """Nothing is acknowledged, and the next append works when there is space again."""
    wal = begun(make_wal, fs, 0)
    wal.append(put_body(6, b"a", b"1"), 6)
    tip = (wal.end, wal.last_sequence)
    plan.at, plan.count, plan.error = 0, 100, errno.ENOSPC
    plan.kinds = frozenset({"pwrite", "allocate"})
    plan.operations.clear()
    with pytest.raises(NoSpaceError) as caught:
        wal.append(put_body(7, b"b", bytes(5 << 20)), 7)
    assert wal.name == caught.value.filename
    assert tip == (wal.end, wal.last_sequence)
    assert {b"a": (6, b"1")} == read(fs)[0]
    plan.at = None
    wal.append(put_body(8, b"c", b"3"), 8)
    assert {b"a": (6, b"1"), b"c": (8, b"3")} == read(fs)[0]
    wal.close()


def test_an_append_that_fails_half_way_leaves_no_frame_behind(fs: FaultyFileSystem, plan: FaultPlan) -> None:
    """Half of the frame was taken, then the disk was full: a shorter frame in its place is read alone."""
    wal = begun(PwriteWal, fs, 0)
    wal.append(put_body(6, b"a", b"1"), 6)
    plan.short = True
    plan.at, plan.error, plan.kinds = 1, errno.ENOSPC, frozenset({"pwrite"})
    plan.operations.clear()
    with pytest.raises(NoSpaceError):
        wal.append(put_body(7, b"b", b"x" * 500), 7)
    plan.short, plan.at = False, None
    assert {b"a": (6, b"1")} == read(fs)[0]
    wal.append(put_body(8, b"c", b"3"), 8)
    assert {b"a": (6, b"1"), b"c": (8, b"3")} == read(fs)[0]
    wal.close()


def test_short_writes_are_completed(fs: FaultyFileSystem, plan: FaultPlan) -> None:
    """A pwrite that takes half of the bytes is followed by another."""
    plan.short = True
    wal = begun(PwriteWal, fs, 0)
    for sequence in range(6, 20):
        wal.append(put_body(sequence, b"%d" % sequence, b"x" * 100 * sequence), sequence)
    assert 14 == len(read(fs)[0])
    wal.close()


@WALS
def test_close_is_idempotent_and_nothing_can_follow_it(make_wal: MakeWal, fs: FaultyFileSystem) -> None:
    """A closed segment never writes into a descriptor that something else has now."""
    wal = begun(make_wal, fs)
    wal.close()
    wal.close()
    with pytest.raises((StorageError, ValueError)):
        wal.append(put_body(6, b"a", b"1"), 6)


def test_space_is_allocated_a_step_ahead_and_not_beyond_the_expected_size(fs: FaultyFileSystem, tmp_path: Path) -> None:
    """Syncs find the file as long as it will be for a while, and an idle store holds little that it does not use."""
    mebibyte = 1 << 20
    wal = begun(PwriteWal, fs, 6 * mebibyte)
    path = tmp_path / wal.name
    assert 4 * mebibyte == path.stat().st_size
    while wal.end <= 4 * mebibyte:
        wal.append(put_body(6, b"key", bytes(mebibyte)), 6)
    assert 6 * mebibyte == path.stat().st_size
    while wal.end <= 6 * mebibyte:
        wal.append(put_body(6, b"key", bytes(mebibyte)), 6)
    assert wal.end == path.stat().st_size
    wal.close()


def test_an_append_goes_on_where_the_next_step_cannot_be_allocated(fs: FaultyFileSystem, plan: FaultPlan) -> None:
    """The space ahead only makes syncs cheaper."""
    wal = begun(PwriteWal, fs, 8 << 20)
    plan.at, plan.error, plan.kinds = 0, errno.ENOSPC, frozenset({"allocate"})
    plan.operations.clear()
    while wal.end <= 5 << 20:
        wal.append(put_body(6, b"key", bytes(1 << 20)), 6)
    wal.close()
    _, log = read(fs)
    assert wal.end == log.end
