"""Reading log files in chunks: what stands across the border of two chunks, and what a bad disk says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.errors import CorruptionError, StorageError
from lsmproc.formats.log_format import KIND_MANIFEST, KIND_WAL, LogHeader, batch_body, put_body
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.wal_reader import Records, RecoveredLog, apply_frames, is_blank, read_log
from lsmproc.storage.wal_writer import PwriteWal

STORE = b"one store's uuid"


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """A directory."""
    fs = PosixFileSystem(str(tmp_path))
    yield fs
    fs.shut()


@pytest.fixture
def wal(fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[PwriteWal]:
    """A segment that is read in chunks of 100 bytes."""
    monkeypatch.setattr("lsmproc.storage.wal_reader._CHUNK_BYTES", 100)
    wal = PwriteWal(fs, 1, 4096)
    wal.begin(LogHeader(KIND_WAL, STORE, 1, 1), 0)
    yield wal
    wal.close()


def read(fs: PosixFileSystem, kind: int = KIND_WAL, store: bytes = STORE) -> tuple[Records, RecoveredLog]:
    """The records and what is known of the file."""
    records: Records = {}
    return records, read_log(fs, "000001.wal", kind, store, lambda frames: apply_frames(records, frames))


def test_frames_of_every_size_are_found_whatever_chunk_they_begin_in(fs: PosixFileSystem, wal: PwriteWal) -> None:
    """Much smaller than a chunk, much larger, and with zeros at the end or all through."""
    expected: Records = {}
    for sequence, size in enumerate([0, 1, 60, 76, 77, 78, 99, 100, 101, 250, 1000, 3, 5000, 2, 64, 64, 64], 1):
        for value in (b"v" * size, bytes(size)):
            key = b"%d/%d" % (sequence, value[:1] == b"v")
            wal.append(put_body(sequence, key, value), sequence)
            expected[key] = (sequence, value)
    wal.append(batch_body(99, [b"a", b"b", b"a"], [bytes(300), None, b"last"]), 99)
    expected.update({b"a": (99, b"last"), b"b": (99, None)})
    records, log = read(fs)
    assert expected == records
    assert (wal.end, 99, False) == (log.end, log.last_sequence, log.dirty_tail)


def test_a_promise_across_the_border_of_two_chunks_is_found(
    fs: PosixFileSystem, wal: PwriteWal, tmp_path: Path
) -> None:
    """At every position, also behind a damaged frame."""
    for sequence in range(1, 60):
        wal.append(put_body(sequence, b"k", b"v" * (sequence % 13)), sequence)
        end = wal.sync()
        wal.promise(end)
        assert end == read(fs)[1].promised_end
    whole = (tmp_path / wal.name).read_bytes()
    (tmp_path / wal.name).write_bytes(whole[:70] + b"\xff" + whole[71:])
    with pytest.raises(CorruptionError) as caught:
        read(fs)
    assert (wal.name, 64) == (caught.value.file, caught.value.offset)


def test_bytes_behind_the_last_frame_are_told_from_zeros(fs: PosixFileSystem, wal: PwriteWal) -> None:
    """A torn tail, near the end of the log or far behind it."""
    wal.append(put_body(1, b"k", b"v"), 1)
    for position in (wal.end, wal.end + 37, wal.end + 1000):
        os.pwrite(wal._fd, b"\xa5", position)
        assert read(fs)[1].dirty_tail
        os.pwrite(wal._fd, b"\0", position)
        assert not read(fs)[1].dirty_tail


def test_a_file_of_another_kind_or_store_is_corruption(fs: PosixFileSystem, wal: PwriteWal) -> None:
    """The error names it."""
    for kind, store in ((KIND_MANIFEST, STORE), (KIND_WAL, b"x" * 16)):
        with pytest.raises(CorruptionError) as caught:
            read(fs, kind, store)
        assert wal.name == caught.value.file


def test_a_bad_sector_is_a_storage_error_that_names_the_file(
    fs: PosixFileSystem, wal: PwriteWal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not corruption, and not the bare error of the system call."""

    def bad(*_: object) -> bytes:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(fs, "pread", bad)
    for call in (lambda: read(fs), lambda: is_blank(fs, wal.name)):
        with pytest.raises(StorageError) as caught:
            call()
        assert (errno.EIO, wal.name) == (caught.value.errno, caught.value.filename)
