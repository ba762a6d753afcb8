"""The flush job, without any process: segments in, one table out, nothing left after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.compaction.flush_job import run_flush_job
from lsmproc.compaction.job import JobCancelled
from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import FlushRequest, SegmentEnd, TableOptions
from lsmproc.storage.file_system import FileSystem, PosixFileSystem
from lsmproc.storage.wal_runs import Run
from tests.storage.table_files import hash_of, read_table

Records = dict[bytes, tuple[int, bytes | None]]
UUID = b"u" * 16


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """The real disk, in an empty directory."""
    made = PosixFileSystem(str(tmp_path))
    yield made
    made.shut()


def request_for(*numbers: int, table_format: str = "block") -> FlushRequest:
    """A request to flush these segments."""
    segments = tuple(SegmentEnd(number, 1000, 0, 0) for number in numbers)
    return FlushRequest(17, 2, "", UUID, 3, segments, TableOptions(table_format=table_format), paced=False)


class Segments:
    """Stands in for the log reader: records by segment number."""

    def __init__(self, **contents: Records) -> None:
        self.contents = {int(name.removeprefix("s")): records for name, records in contents.items()}
        self.asked: list[int] = []

    def __call__(self, fs: FileSystem, segment: SegmentEnd, store_uuid: bytes) -> list[Run]:
        """As read_runs."""
        assert store_uuid == UUID
        self.asked.append(segment.number)
        records = self.contents[segment.number]
        keys = sorted(records)
        return [(keys, [records[key][1] for key in keys], [records[key][0] for key in keys])] if keys else []


@pytest.mark.parametrize("table_format", ["block", "plain"])
def test_later_segments_win_and_tombstones_stay(fs: PosixFileSystem, table_format: str) -> None:
    """Two segments become one table of the newest records, named for its epoch, job and attempt."""
    read = Segments(
        s4={b"b": (1, b"old"), b"a": (2, b""), b"c": (3, b"gone")},
        s5={b"b": (4, b"new"), b"c": (5, None), b"0": (6, b"zero")},
    )
    grants: list[int] = []
    done = run_flush_job(fs, request_for(4, 5, table_format=table_format), grants.append, read=read)
    (output,) = done.outputs
    assert [4, 5] == read.asked
    assert (17, 2, "tmp/3-17-2-0.sst") == (done.job, done.attempt, output.temporary_name)
    assert (6, 4, 2000, output.file.size) == (
        done.cost.records_read,
        done.cost.records_written,
        done.cost.bytes_read,
        done.cost.bytes_written,
    )
    assert (1, 2, 6) == (output.file.tombstones, output.file.smallest_sequence, output.file.largest_sequence)
    assert output.file.size == sum(grants)
    reader = read_table(fs, output.file, output.temporary_name)
    assert (4, b"new") == reader.lookup(b"b", hash_of(b"b"))
    assert ([b"0", b"a", b"b", b"c"], [b"zero", b"", b"new", None]) == reader.columns(0, 99)
    reader.close()


def test_segments_without_records_write_nothing(fs: PosixFileSystem) -> None:
    """No table, no file."""
    done = run_flush_job(fs, request_for(4), lambda size: None, read=Segments(s4={}))
    assert () == done.outputs
    assert [] == fs.list_directory("tmp")


def test_many_records_are_one_table(fs: PosixFileSystem) -> None:
    """A flush never splits, whatever max_file_bytes says: level 0 wants one table per memtable."""
    records: Records = {b"%05d" % (i * 7919 % 20_000): (i + 1, b"v" * 50) for i in range(20_000)}
    done = run_flush_job(fs, request_for(4), lambda size: None, read=Segments(s4=records))
    (output,) = done.outputs
    assert 20_000 == output.file.entries
    reader = read_table(fs, output.file, output.temporary_name)
    reader.verify()
    reader.close()


@pytest.mark.parametrize("stop_at", [0, 1])
def test_a_cancelled_flush_leaves_nothing(fs: PosixFileSystem, stop_at: int) -> None:
    """Wherever the grant refuses, the output is removed and the refusal passes through."""
    calls: list[int] = []

    def grant(size: int) -> None:
        calls.append(size)
        if len(calls) > stop_at:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run_flush_job(fs, request_for(4), grant, read=Segments(s4={b"a": (1, b"1")}))
    assert [] == fs.list_directory("tmp")


def test_a_damaged_segment_fails_the_flush(fs: PosixFileSystem) -> None:
    """What the log reader raises passes through, and nothing is written."""

    def read(fs: FileSystem, segment: SegmentEnd, store_uuid: bytes) -> list[Run]:
        raise CorruptionError("bad frame", file="000004.wal", offset=99)

    with pytest.raises(CorruptionError, match=r"000004\.wal at byte 99"):
        run_flush_job(fs, request_for(4), lambda size: None, read=read)
    assert [] == fs.list_directory("tmp")
