"""The compaction job, without any process: what goes in comes out once, and nothing is left after a failure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lsmproc.compaction.compaction_job import run_compaction_job
from lsmproc.compaction.job import JobCancelled
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import table_name
from lsmproc.formats.messages import CompactionDone, CompactionRequest, TableOptions
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.table_reader import BlockTableReader
from tests.storage.table_files import Records, read_table, write_table

Model = dict[bytes, tuple[int, bytes | None]]
SMALL = TableOptions(block_bytes=256, max_file_bytes=3000)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """The real disk, in an empty directory."""
    made = PosixFileSystem(str(tmp_path))
    yield made
    made.shut()


def write_run(fs: PosixFileSystem, first_number: int, model: Model, tables: int = 1) -> tuple[FileMetadata, ...]:
    """One sorted run of several tables that hold the model's records."""
    keys = sorted(model)
    size = -(-len(keys) // tables)
    files = []
    for number, start in enumerate(range(0, len(keys), size), first_number):
        part = keys[start : start + size]
        records = Records(part, [model[key][1] for key in part], [model[key][0] for key in part])
        file = write_table(fs, table_name(number), records, SMALL, unique_id=number)
        files.append(replace(file, number=number))
    return tuple(files)


def request_for(runs: list[tuple[FileMetadata, ...]], **changes: object) -> CompactionRequest:
    """A compaction of these runs (newest first) into level 1."""
    request = CompactionRequest(9, 1, "", 1, tuple(runs), None, None, 1, (), (), 0, SMALL, paced=False)
    return replace(request, **changes)  # type: ignore[arg-type]


def compact(fs: PosixFileSystem, request: CompactionRequest) -> CompactionDone:
    """Run the job with every grant given."""
    return run_compaction_job(fs, request, lambda size: None)


def content(fs: PosixFileSystem, done: CompactionDone) -> Model:
    """All records of the outputs; fails unless the outputs ascend and verify."""
    model: Model = {}
    largest = None
    for output in done.outputs:
        assert largest is None or largest < output.file.smallest
        largest = output.file.largest
        reader = read_table(fs, output.file, output.temporary_name)
        reader.verify()
        keys, values, sequences = reader.columns_with_sequences(0, reader.block_count)
        model.update(zip(keys, zip(sequences, values, strict=True), strict=True))
        reader.close()
    return model


def random_runs(fs: PosixFileSystem, rng: random.Random) -> tuple[list[tuple[FileMetadata, ...]], Model]:
    """Overlapping runs, newest first, and the newest record of each key."""
    runs: list[tuple[FileMetadata, ...]] = []
    merged: Model = {}
    sequence = 0
    for number in range(4):
        model: Model = {}
        for key in rng.sample(range(600), rng.choice([1, 50, 300])):
            sequence += 1
            model[b"%04d" % key] = (sequence, rng.choice([None, b"", rng.randbytes(rng.choice([5, 60, 300]))]))
        runs.insert(0, write_run(fs, 10 * number + 1, model, rng.choice([1, 3])))
        merged.update(model)
    return runs, merged


@pytest.mark.parametrize("seed", range(8))
def test_the_newest_record_of_each_key_survives(fs: PosixFileSystem, seed: int) -> None:
    """Four overlapping runs become one sorted run of small tables, tombstones included."""
    runs, merged = random_runs(fs, random.Random(seed))
    done = compact(fs, request_for(runs))
    assert merged == content(fs, done)
    assert len(merged) == done.cost.records_written
    assert sum(file.entries for run in runs for file in run) == done.cost.records_read
    assert done.cost.bytes_written == sum(output.file.size for output in done.outputs)


@pytest.mark.parametrize("seed", range(4))
def test_key_ranges_add_up_to_the_whole(fs: PosixFileSystem, seed: int) -> None:
    """The parts of a compaction split over workers neither overlap nor miss a key."""
    rng = random.Random(seed)
    runs, merged = random_runs(fs, rng)
    borders = [None, *sorted(b"%04d" % rng.randrange(600) for _ in range(3)), None]
    together: Model = {}
    read = 0
    for job, (start, stop) in enumerate(pairwise(borders)):
        done = compact(fs, request_for(runs, start=start, stop=stop, job=job))
        part = content(fs, done)
        assert all((start is None or key >= start) and (stop is None or key < stop) for key in part)
        assert not part.keys() & together.keys()
        together.update(part)
        read += done.cost.records_read
    assert merged == together
    assert sum(file.entries for run in runs for file in run) == read


def test_droppable_tombstones_go_with_what_they_cover(fs: PosixFileSystem) -> None:
    """Old tombstones over nothing disappear; young ones and those over deeper tables stay."""
    old = write_run(fs, 1, {b"a": (1, b"1"), b"b": (2, b"2"), b"c": (3, b"3"), b"d": (4, b"4")})
    new = write_run(fs, 2, {b"a": (5, None), b"b": (6, None), b"c": (9, None)})
    done = compact(fs, request_for([new, old], deeper=((b"b", b"bb"),), droppable_below=9))
    assert {b"b": (6, None), b"c": (9, None), b"d": (4, b"4")} == content(fs, done)


def test_everything_dropped_is_no_output(fs: PosixFileSystem) -> None:
    """A compaction of tombstones over nothing writes nothing."""
    run = write_run(fs, 1, {b"a": (1, None), b"b": (2, None)})
    done = compact(fs, request_for([run], droppable_below=100))
    assert () == done.outputs
    assert [] == fs.list_directory("tmp")


def test_outputs_keep_to_their_size_except_in_level_0(fs: PosixFileSystem) -> None:
    """Above max_file_bytes the next window begins a new table; level 0 gets one table, for it is one run."""
    rng = random.Random(1)
    run = write_run(fs, 1, {b"%05d" % i: (i, rng.randbytes(100)) for i in range(3000)})
    done = compact(fs, request_for([run]))
    assert len(done.outputs) > 3
    into_level0 = compact(fs, request_for([run], output_level=0, job=10))
    assert 1 == len(into_level0.outputs)


def test_outputs_do_not_overlap_too_many_grandparents(fs: PosixFileSystem) -> None:
    """An output ends where it would overlap more than ten files' bytes one level below."""
    run = write_run(fs, 1, {b"%05d" % i: (i, b"") for i in range(200)})
    grandparents = tuple((b"%05d" % i, b"%05d" % (i + 9), 4 * SMALL.max_file_bytes) for i in range(0, 200, 10))
    options = replace(SMALL, max_file_bytes=3000)
    done = compact(fs, request_for([run], grandparents=grandparents, options=options))
    assert 6 <= len(done.outputs) <= 8
    assert {b"%05d" % i for i in range(200)} == set(content(fs, done))
    for output in done.outputs:
        inside = [g for g in grandparents if output.file.smallest <= g[1] and g[0] <= output.file.largest]
        assert len(inside) <= 4


@pytest.mark.parametrize("stop_at", [0, 1, 2, 5])
def test_a_cancelled_compaction_leaves_nothing(fs: PosixFileSystem, stop_at: int) -> None:
    """Finished outputs are removed as well as the one being written; inputs stay."""
    rng = random.Random(1)
    run = write_run(fs, 1, {b"%05d" % i: (i, rng.randbytes(100)) for i in range(3000)})
    calls: list[int] = []

    def grant(size: int) -> None:
        calls.append(size)
        if len(calls) > stop_at:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run_compaction_job(fs, request_for([run]), grant)
    assert [] == fs.list_directory("tmp")
    assert table_name(1) in fs.list_directory()


def test_a_stop_is_felt_while_nothing_is_written(fs: PosixFileSystem) -> None:
    """Reading four mebibytes asks for a grant of nothing, so that a job that drops everything can be stopped."""
    rng = random.Random(1)
    run = write_run(fs, 1, {b"%06d" % i + rng.randbytes(300): (i, None) for i in range(16_000)})
    assert run[0].size > 4 << 20
    grants: list[int] = []
    done = run_compaction_job(fs, request_for([run], droppable_below=1 << 60), grants.append)
    assert () == done.outputs
    assert {0} == set(grants)


def test_a_table_with_other_counts_than_the_manifest_says_is_corruption(
    fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input read as a whole must hold the records it is known for."""
    run = write_run(fs, 1, {b"%05d" % i: (i, b"v" * 100) for i in range(300)})
    whole = BlockTableReader.columns_with_sequences

    def lossy(self: BlockTableReader, first: int, count: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        keys, values, sequences = whole(self, first, count)
        return (keys, values, sequences) if first else (keys[1:], values[1:], sequences[1:])

    monkeypatch.setattr(BlockTableReader, "columns_with_sequences", lossy)
    with pytest.raises(CorruptionError, match="holds 299 records"):
        compact(fs, request_for([run]))
    assert [] == fs.list_directory("tmp")


def test_a_damaged_input_fails_the_job_by_name(fs: PosixFileSystem, tmp_path: Path) -> None:
    """The error names file and offset, and all outputs of the attempt are removed."""
    rng = random.Random(1)
    run = write_run(fs, 1, {b"%05d" % i: (i, rng.randbytes(100)) for i in range(3000)})
    data = bytearray((tmp_path / table_name(1)).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / table_name(1)).write_bytes(data)
    with pytest.raises(CorruptionError) as caught:
        compact(fs, request_for([run]))
    assert table_name(1) == caught.value.file
    assert 0 < len(data) // 2 - (caught.value.offset or 0) < 1000
    assert [] == fs.list_directory("tmp")
