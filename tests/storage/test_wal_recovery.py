"""Replaying a chain of segments: torn tails, holes, damage, and files that do not belong there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lsmproc.errors import CorruptionError, DurabilityError
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader, batch_body, put_body
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage.wal_recovery import ReplayedLog, replay_log
from lsmproc.storage.wal_rewriting import write_again
from lsmproc.storage.wal_writer import PwriteWal
from tests.faults.faulty_file_system import FaultPlan, FaultyFileSystem

STORE = b"one store's uuid"


class Chain:
    """Writes segments, one after the other."""

    def __init__(self, fs: FaultyFileSystem, store: bytes = STORE) -> None:
        self.fs = fs
        self._store = store
        self._sequence = 0
        self._end: SegmentEnd | None = None

    def segment(self, number: int, *keys: bytes, synced: bool = False, seal: bool = True) -> Path:
        """One segment with a put for each key, behind the one before."""
        wal = PwriteWal(self.fs, number, 2048)
        before = self._end
        link = (before.number, before.end, before.checksum) if before else (0, 0, 0)
        wal.begin(LogHeader(KIND_WAL, self._store, number, number * 77, *link), self._sequence)
        for key in keys:
            self._sequence += 1
            wal.append(put_body(self._sequence, key, key * 3), self._sequence)
        if synced:
            wal.promise(wal.sync())
        self._end = wal.seal() if seal else SegmentEnd(number, wal.end, wal._tip[1], wal.last_sequence)
        wal.close()
        return Path(self.fs.path) / wal.name


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[FaultyFileSystem]:
    """A directory."""
    fs = FaultPlan().open_file_system(str(tmp_path))
    yield fs
    fs.shut()


@pytest.fixture
def chain(fs: FaultyFileSystem) -> Chain:
    """An empty log."""
    return Chain(fs)


def replay(fs: FaultyFileSystem, log_number: int = 1, listed: Iterable[tuple[int, int]] = ()) -> ReplayedLog:
    """All segments of the directory."""
    numbers = [int(name[:6]) for name in reversed(fs.list_directory())]
    return replay_log(fs, numbers, log_number, STORE, listed=listed)


def cut(path: Path, size: int) -> None:
    """The file ends there, or before."""
    path.write_bytes(path.read_bytes()[:size])


def flip(path: Path, position: int) -> None:
    """One byte is another."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_segments_are_replayed_in_the_order_of_their_numbers(fs: FaultyFileSystem, chain: Chain) -> None:
    """Also where the order of names is another, and the newest record of a key counts."""
    for number, keys in ((999_998, b"ab"), (999_999, b"bc"), (1_000_000, b"cd")):
        chain.segment(number, *(keys[i : i + 1] for i in range(2)))
    log = replay_log(fs, [1_000_000, 999_999, 999_998], 999_998, STORE)
    assert {b"a": (1, b"aaa"), b"b": (3, b"bbb"), b"c": (5, b"ccc"), b"d": (6, b"ddd")} == log.records
    assert [999_998, 999_999, 1_000_000] == [segment.number for segment in log.segments]
    assert (6, (), ()) == (log.last_sequence, log.unusable, log.empty)


def test_flushed_segments_are_left_out(fs: FaultyFileSystem, chain: Chain) -> None:
    """Only those from the log number on are live, damaged or not."""
    flip(chain.segment(1, b"a"), 70)
    chain.segment(2, b"b")
    assert {b"b": (2, b"bbb")} == replay(fs, 2).records


def test_a_missing_first_segment_is_corruption(fs: FaultyFileSystem, chain: Chain) -> None:
    """The log number is durable only once the segment's name is: without it, writes are missing."""
    chain.segment(1, b"a").unlink()
    chain.segment(2, b"b")
    with pytest.raises(CorruptionError) as caught:
        replay(fs, 1)
    assert "000001.wal" == caught.value.file


@pytest.mark.parametrize("synced", [False, True])
def test_nothing_behind_a_missing_segment_is_replayed_unless_it_was_promised(
    fs: FaultyFileSystem, chain: Chain, synced: bool
) -> None:
    """Power loss may take an unsynced file; what followed it must go. A promise behind it makes it damage."""
    chain.segment(1, b"a")
    chain.segment(2, b"b").unlink()
    chain.segment(3, b"c", synced=synced)
    chain.segment(4, b"d")
    if synced:
        with pytest.raises(CorruptionError) as caught:
            replay(fs)
        assert "000002.wal" == caught.value.file
    else:
        log = replay(fs)
        assert {b"a": (1, b"aaa")} == log.records
        assert ("000003.wal", "000004.wal") == log.unusable


@pytest.mark.parametrize("synced", [False, True])
def test_every_cut_of_a_segment_leaves_a_prefix_or_is_corruption(
    fs: FaultyFileSystem, chain: Chain, synced: bool
) -> None:
    """A middle segment that lost its end hides what follows; if that was promised, it is an error with its place."""
    chain.segment(1, b"a")
    middle = chain.segment(2, b"b", b"c")
    chain.segment(3, b"d", synced=synced)
    whole = middle.read_bytes()
    order = [b"a", b"b", b"c", b"d"]
    used = len(whole.rstrip(b"\0"))
    for size in range(len(whole) + 1):
        middle.write_bytes(whole[:size])
        try:
            found = list(replay(fs).records)
        except CorruptionError as error:
            assert synced
            assert error.file == middle.name
        else:
            assert order[: len(found)] == found
            assert size >= used or not synced
            assert size < used or found == order


@pytest.mark.parametrize("promised", [False, True])
def test_every_flipped_byte_of_a_live_segment_leaves_a_prefix_or_is_corruption(
    fs: FaultyFileSystem, chain: Chain, promised: bool
) -> None:
    """Below a promise damage is always named; above it, it may be the torn tail of a crash."""
    chain.segment(1, b"a")
    last = chain.segment(2, b"b", b"c", b"d", synced=promised, seal=False)
    whole = last.read_bytes()
    order = [b"a", b"b", b"c", b"d"]
    promise = whole.find(b"\x93SYNCED") if promised else 0
    for position in range(len(whole.rstrip(b"\0"))):
        flip(last, position)
        try:
            found = list(replay(fs).records)
        except CorruptionError as error:
            assert error.file == last.name
            assert error.offset is not None
            assert error.offset <= position
        else:
            assert order[: len(found)] == found
            assert position >= HEADER_SIZE
            # The frame of the promise itself was never promised.
            assert not promised or position >= promise - 19 or found == order
        last.write_bytes(whole)


def test_a_blank_segment_is_passed_over(fs: FaultyFileSystem, chain: Chain) -> None:
    """Allocated ahead and never used, between used ones or behind them."""
    chain.segment(1, b"a")
    PwriteWal(fs, 2, 4096).close()
    chain.segment(3, b"b")
    PwriteWal(fs, 4, 0).close()
    log = replay(fs)
    assert [b"a", b"b"] == list(log.records)
    assert ("000002.wal", "000004.wal") == log.unusable


def test_a_header_that_was_never_finished_is_a_blank_segment(fs: FaultyFileSystem, chain: Chain) -> None:
    """Power loss in the middle of the header: nothing was acknowledged in that segment."""
    chain.segment(1, b"a")
    torn = chain.segment(2, seal=False)
    whole = torn.read_bytes()
    for size in range(1, HEADER_SIZE):
        for content in (whole[:size], whole[:size] + bytes(200)):
            torn.write_bytes(content)
            assert ([b"a"], ("000002.wal",)) == (list(replay(fs).records), replay(fs).unusable)


def test_a_lost_header_before_a_promise_is_corruption(fs: FaultyFileSystem, chain: Chain) -> None:
    """Zeros in place of a header are a blank segment only if nothing in the file was ever durable."""
    for synced, number in ((False, 1), (True, 2)):
        path = chain.segment(number, b"a", synced=synced)
        path.write_bytes(bytes(HEADER_SIZE) + path.read_bytes()[HEADER_SIZE:])
    assert {} == replay_log(fs, [1], 1, STORE).records
    with pytest.raises(CorruptionError) as caught:
        replay_log(fs, [2], 2, STORE)
    assert ("000002.wal", 0) == (caught.value.file, caught.value.offset)


def test_a_segment_that_the_manifest_lists_must_be_there(fs: FaultyFileSystem, chain: Chain) -> None:
    """The newest as well, but it may be blank; and nobody asks for what is flushed."""
    chain.segment(2, b"a")
    chain.segment(3, b"b", seal=False).write_bytes(bytes(100))
    for listed in ((2, 0),), ((2, 0), (3, 0)), ((1, 500), (2, 0)):
        assert [b"a"] == list(replay(fs, 2, listed).records)
    with pytest.raises(CorruptionError, match="missing") as caught:
        replay(fs, 2, ((2, 0), (4, 0)))
    assert "000004.wal" == caught.value.file


def test_a_segment_must_reach_as_far_as_the_manifest_knows(fs: FaultyFileSystem, chain: Chain) -> None:
    """Cut short anywhere below, blank, or out of reach behind a hole: each is damage and no torn tail."""
    first = chain.segment(1, b"a")
    newest = chain.segment(2, b"b", b"c", seal=False)
    whole = newest.read_bytes().rstrip(b"\0")
    assert [b"a", b"b", b"c"] == list(replay(fs, 1, ((1, 0), (2, len(whole)))).records)
    for size in range(len(whole)):
        for content in (whole[:size], whole[:size] + bytes(len(whole) - size)):
            newest.write_bytes(content)
            with pytest.raises(CorruptionError) as caught:
                replay(fs, 1, ((1, 0), (2, len(whole))))
            assert "000002.wal" == caught.value.file
    newest.write_bytes(whole)
    cut(first, len(first.read_bytes().rstrip(b"\0")) - 1)
    assert [b"a"] == list(replay(fs, 1, ((1, 0), (2, 0))).records)
    with pytest.raises(CorruptionError, match="segment 2 was synced") as caught:
        replay(fs, 1, ((1, 0), (2, HEADER_SIZE)))
    assert "000001.wal" == caught.value.file


def test_segments_of_another_store_or_number_are_corruption(fs: FaultyFileSystem, chain: Chain, tmp_path: Path) -> None:
    """Misplaced files are named, not replayed."""
    path = chain.segment(1, b"a")
    foreign = Chain(fs, b"other store uuid").segment(5, b"x")
    foreign.rename(tmp_path / "000002.wal")
    with pytest.raises(CorruptionError, match="another store"):
        replay(fs)
    path.rename(tmp_path / "000002.wal")
    with pytest.raises(CorruptionError, match="segment 1"):
        replay(fs, 2)


def test_the_newest_segments_without_records_are_to_be_removed(fs: FaultyFileSystem, chain: Chain) -> None:
    """Openings that wrote nothing leave nothing; an empty segment between others stays, it is a link of the chain."""
    chain.segment(1, b"a")
    chain.segment(2)
    chain.segment(3, b"b", seal=False)
    chain.segment(4, synced=True, seal=False)
    chain.segment(5, seal=False)
    log = replay(fs)
    assert [1, 2, 3] == [segment.number for segment in log.segments]
    assert ("000004.wal", "000005.wal") == log.empty


def test_a_replayed_segment_is_written_again_before_it_counts_as_durable(tmp_path: Path) -> None:
    """After a failed sync the kernel may take pages for clean that the disk does not have."""
    plan = FaultPlan()
    fs = plan.open_file_system(str(tmp_path))
    Chain(fs).segment(1, b"a")
    plan.operations.clear()
    (segment,) = replay_log(fs, [1], 1, STORE, write_again(fs, [1])).segments
    assert segment.end.end == segment.sync()
    assert ["pwrite 000001.wal", "fdatasync 000001.wal"] == plan.operations
    plan.operations.clear()
    plan.at, plan.error = 0, 5
    with pytest.raises(DurabilityError):
        segment.sync()
    segment.close()
    fs.shut()
    assert set() == plan.descriptors


def test_a_batch_is_replayed_whole_or_not_at_all(fs: FaultyFileSystem) -> None:
    """Every cut of a batch's frame."""
    wal = PwriteWal(fs, 1, 0)
    wal.begin(LogHeader(KIND_WAL, STORE, 1, 1), 0)
    wal.append(put_body(1, b"a", b"1"), 1)
    start = wal.end
    wal.append(batch_body(2, [b"b", b"c"], [b"2", b"3"]), 2)
    wal.close()
    path = Path(fs.path) / wal.name
    whole = path.read_bytes()
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        assert [b"a"] == list(replay(fs).records)
    path.write_bytes(whole)
    assert [b"a", b"b", b"c"] == list(replay(fs).records)
