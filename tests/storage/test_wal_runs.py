"""A log segment as sorted runs: the same records as recovery finds, whatever kinds of frames there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lsmproc.formats.log_format import KIND_WAL, LogHeader, batch_body, delete_body, put_body
from lsmproc.formats.messages import SegmentEnd
from lsmproc.storage import wal_runs
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.wal_reader import Records, apply_frames, read_log
from lsmproc.storage.wal_runs import read_runs, sorted_run
from lsmproc.storage.wal_writer import PwriteWal
from tests.storage.sorted_runs import newest_of

STORE = b"one store's uuid"


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """An empty directory."""
    made = PosixFileSystem(str(tmp_path))
    yield made
    made.shut()


def write_segment(fs: PosixFileSystem, bodies: list[bytes]) -> SegmentEnd:
    """A sealed segment of these frames, numbered from 1 on, with a promise in the middle."""
    wal = PwriteWal(fs, 3, 0)
    wal.begin(LogHeader(KIND_WAL, STORE, 3, 99), 0)
    for sequence, body in enumerate(bodies, 1):
        wal.append(body, sequence)
        if sequence == len(bodies) // 2:
            wal.sync()
    end = wal.seal()
    wal.close()
    return end


def random_body(rng: Random, sequence: int) -> bytes:
    """A put, a delete or a batch of keys of which there are few."""
    keys = [b"%03d" % rng.randrange(300) for _ in range(rng.choice((1, 1, 1, 4)))]
    if len(keys) > 1:
        return batch_body(sequence, keys, [rng.choice((None, b"in a batch")) for _ in keys])
    if rng.random() < 0.2:
        return delete_body(sequence, keys[0])
    return put_body(sequence, keys[0], b"v" * rng.randrange(200))


@pytest.mark.parametrize("run_bytes", [1, 500, 1 << 20])
def test_runs_hold_what_recovery_finds(fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch, run_bytes: int) -> None:
    """Puts, deletes, batches, a promise and a seal, in one run or in several; the newest record of each key wins."""
    monkeypatch.setattr(wal_runs, "_RUN_BYTES", run_bytes)
    monkeypatch.setattr("lsmproc.storage.wal_reader._CHUNK_BYTES", 4096)
    rng = Random(11)
    end = write_segment(fs, [random_body(rng, sequence) for sequence in range(1, 1000)])
    records: Records = {}
    read_log(fs, "000003.wal", KIND_WAL, STORE, lambda frames: apply_frames(records, frames))
    runs = read_runs(fs, end, STORE)
    assert records == newest_of(runs)
    assert (len(runs) > 1) == (run_bytes < 1 << 20)


def test_a_segment_without_records_is_no_run(fs: PosixFileSystem) -> None:
    """Promises and seals are not records."""
    assert [] == read_runs(fs, write_segment(fs, []), STORE)


def test_a_run_keeps_the_last_of_equal_keys() -> None:
    """Also if it is the only one."""
    assert ([b"a"], [b"2"], [2]) == sorted_run([b"a", b"a"], [b"1", b"2"], [1, 2])
    assert ([b"a", b"b"], [None, b"x"], [3, 2]) == sorted_run([b"a", b"b", b"a"], [b"1", b"x", None], [1, 2, 3])
