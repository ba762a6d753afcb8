"""repair: keeps all that checks, says what is lost, and never touches what it was given."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lsmproc
from lsmproc.errors import ConfigError, LockedError, NotAStoreError
from lsmproc.formats.log_format import HEADER_SIZE, KIND_WAL, LogHeader, delete_body, put_body
from lsmproc.formats.messages import SegmentEnd
from lsmproc.repair import frame_view, log_scan, store_repair, table_salvage
from lsmproc.repair.log_scan import Gap, LogScan
from lsmproc.repair.report import RepairReport
from lsmproc.repair.table_scan import TableScan
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.wal_writer import PwriteWal
from lsmproc.verification import verify_store
from tests.tally import Tally

Model = dict[bytes, bytes]
History = dict[bytes, set[bytes | None]]

DELETED = [b"key %04d" % number for number in range(2, 300, 11) if number % 3 == 2]
LOG_KEYS = 40


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model, History]:
    """A closed store: tables in two levels, tombstones in the upper one, single records and a batch in the log."""
    path = tmp_path_factory.mktemp("original") / "store"
    return path, *fill(path)


@pytest.fixture
def store(original: tuple[Path, Model, History], tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(original[0], tmp_path / "store"))


@pytest.fixture
def model(original: tuple[Path, Model, History]) -> Model:
    """What the undamaged store holds."""
    return original[1]


def fill(path: Path, **options: object) -> tuple[Model, History]:
    """Three rounds of writes and a log; returns what the store holds, and every value that each key ever had."""
    history: History = {}
    settings = {"background": "inline", "sstable_max_bytes": "4KiB", "block_bytes": 512} | options
    with lsmproc.open(path, **settings) as db:

        def write(key: bytes, value: bytes | None) -> None:
            history.setdefault(key, {None}).add(value)
            if value is None:
                db.delete(key)
            else:
                db.put(key, value)

        for step in range(3):
            for number in range(300):
                if not step or number % 3 == step:
                    gone = step == 2 and number % 11 == 2
                    write(b"key %04d" % number, None if gone else b"value %d of round %d" % (number, step))
            db.flush_memtable()
            if step == 1:
                db.compact_level(0)
        for number in range(LOG_KEYS):
            write(b"log %04d" % number, b"1" * number)
        db.sync()
        with db.write_batch() as batch:
            for number in range(5):
                batch.put(b"batch %d" % number, b"2")
                history[b"batch %d" % number] = {None, b"2"}
        write(b"key 0001", None)
        db.sync()
        return dict(db.range()), history


def contents(path: Path) -> Model:
    """All records of a store."""
    with lsmproc.open(path, read_only=True) as db:
        return dict(db.range())


def repaired(store: Path, **options: bool) -> tuple[RepairReport, Model]:
    """The report of a repair and what the new store, which must be sound, holds."""
    into = store.parent / "new"
    shutil.rmtree(into, ignore_errors=True)
    report = lsmproc.repair_store(store, into=into, **options)
    assert ("sound", []) == (verify_store(into).verdict, verify_store(into).notes)
    return report, contents(into)


def states(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, hash and time of change of every file and directory."""
    for top, folders, names in os.walk(path):
        for name in (".", *folders, *names):
            full = os.path.join(top, name)
            data = b"" if os.path.isdir(full) else Path(full).read_bytes()
            yield full, hashlib.sha256(data).hexdigest(), os.stat(full).st_mtime_ns


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def segment_of(store: Path) -> Path:
    """The one segment that holds records."""
    (segment,) = [path for path in store.glob("*.wal") if path.read_bytes().strip(b"\0")]
    return segment


def blocks_of(table: Path) -> list[tuple[int, int, list[bytes], int]]:
    """Offset, bytes, keys and tombstones of each block."""
    fs = PosixFileSystem(str(table.parent))
    try:
        with TableScan(fs, table.name) as scan:
            return [
                (block.offset, block.size, block.columns.keys, block.columns.values.count(None))
                for block in scan.blocks()
                if block.columns is not None
            ]
    finally:
        fs.shut()


def test_a_sound_store_is_kept_whole_and_left_as_it_was(store: Path, model: Model) -> None:
    """Also what was never flushed; and not one byte or time of change of the source is touched."""
    before = dict.fromkeys(states(store))
    report, found = repaired(store)
    assert (model, "all kept", [], []) == (found, report.verdict, report.losses, report.notes)
    assert before == dict.fromkeys(states(store))
    assert (len(model), len(DELETED) + 1) == (report.records_written, report.tombstones_honoured)


def test_a_repaired_store_goes_on_where_the_old_one_ended(store: Path, model: Model) -> None:
    """New writes count over all that was kept, and compactions work."""
    repaired(store)
    with lsmproc.open(store.parent / "new", background="inline") as db:
        db.put(b"key 0000", b"new")
        db.delete(b"key 0004")
        db.flush_memtable()
        db.compact_range()
        expected = {**model, b"key 0000": b"new"}
        del expected[b"key 0004"]
        assert expected == dict(db.range())
    assert "sound" == verify_store(store.parent / "new").verdict


@pytest.mark.parametrize(
    "options",
    [
        {"table_format": "plain"},
        {"compression": "none"},
        {"compression": "zstd"},
        {"wal": "mapped"},
        {"filter": "none"},
    ],
)
def test_every_kind_of_table_and_log_is_kept(tmp_path: Path, options: dict[str, str]) -> None:
    """With the manifest, and without it."""
    model, _ = fill(tmp_path / "store", **options)
    assert model == repaired(tmp_path / "store")[1]
    for path in (tmp_path / "store").glob("MANIFEST-*"):
        path.unlink()
    assert model == repaired(tmp_path / "store")[1]


def test_no_flipped_byte_costs_a_record_that_it_did_not_touch(
    store: Path, original: tuple[Path, Model, History], full: bool, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does any record get a value it never had, and every difference is announced."""
    monkeypatch.setattr(PosixFileSystem, "fdatasync", lambda *_: None)
    monkeypatch.setattr(PosixFileSystem, "sync_directory", lambda *_: None)
    _, model, history = original
    chance = random.Random(11)
    untouched = kept = 0
    for path in sorted(path for path in store.iterdir() if path.suffix in {".sst", ".wal"} or path.name[0] in "CM"):
        sound = path.read_bytes()
        size = len(sound.rstrip(b"\0"))
        for offset in range(size) if full else sorted(chance.sample(range(size), min(size, 25))):
            touched = touched_keys(path, sound, offset)
            flip(path, offset)
            report, found = flip_repaired(store)
            path.write_bytes(sound)
            different = {key for key in model.keys() | found.keys() if model.get(key) != found.get(key)}
            assert set() == {key for key in found if found[key] not in history[key]}, (path.name, offset)
            assert not different or report.losses, (path.name, offset)
            others = model.keys() - touched
            untouched += len(others)
            kept += len(others - different)
            assert set() == different - touched, (path.name, offset)
            tally.add("flipped bytes repaired")
    assert kept >= 0.99 * untouched > 0


def flip_repaired(store: Path) -> tuple[RepairReport, Model]:
    """As repaired, without verifying."""
    into = store.parent / "new"
    shutil.rmtree(into, ignore_errors=True)
    return lsmproc.repair_store(store, into=into), contents(into)


def touched_keys(path: Path, sound: bytes, offset: int) -> set[bytes]:
    """The keys in the block or frame that holds the byte."""
    if path.suffix == ".sst":
        return {key for start, size, keys, _ in blocks_of(path) if start <= offset < start + size for key in keys}
    if path.suffix == ".wal":
        position = HEADER_SIZE
        while (frame := frame_view.frame_at(sound, position)) is not None:
            if frame.offset <= offset < frame.end:
                return set(frame_view.keys_of(sound, frame))
            position = frame.end
    return set()


def test_a_flipped_block_is_named_with_its_keys_and_no_deleted_key_is_back(store: Path, model: Model) -> None:
    """The block held no tombstones, and the counts prove it: so there is no doubt either."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    offset, size, keys, tombstones = blocks_of(table)[3]
    before = blocks_of(table)[2][2][-1]
    flip(table, offset + 20)
    report, found = repaired(store)
    (loss,) = report.losses
    assert (0, []) == (tombstones, report.doubts)
    assert (table.name, offset, size, len(keys), 0) == (
        loss.file,
        loss.offset,
        loss.size,
        loss.records,
        loss.tombstones,
    )
    assert (before + b"\0", keys[-1]) == (loss.smallest, loss.largest)
    assert {key: value for key, value in model.items() if key not in keys}.items() <= found.items()
    assert set() == set(DELETED) & found.keys()


def test_a_lost_block_with_tombstones_is_a_doubt(store: Path) -> None:
    """Then a deleted key may be back, and is said to be."""
    table = max(store.glob("*.sst"))
    offset, _, keys, tombstones = max(blocks_of(table), key=lambda block: block[3])
    flip(table, offset)
    report, found = repaired(store)
    assert (True, tombstones) == (tombstones > 0, report.losses[0].tombstones)
    assert set() < set(DELETED) & found.keys() <= set(keys)
    assert [f"{table.name}: {tombstones} deletions at most are lost with it: keys that they deleted may be back"] == (
        report.doubts
    )


def test_adjacent_flipped_blocks_are_one_loss(store: Path) -> None:
    """From the end of the block before to the end of the last one."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    blocks = blocks_of(table)
    for index in (2, 3):
        flip(table, blocks[index][0] + 5)
    (loss,) = repaired(store)[0].losses
    assert (blocks[2][0], blocks[2][1] + blocks[3][1]) == (loss.offset, loss.size)
    assert (blocks[1][2][-1] + b"\0", blocks[3][2][-1]) == (loss.smallest, loss.largest)


@pytest.mark.parametrize("lost", ["CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_store_without_its_manifest_is_kept(store: Path, model: Model, lost: str, how: str) -> None:
    """Without CURRENT the manifest is found and nothing is in doubt; without the manifest that is said."""
    (path,) = store.glob(lost)
    path.unlink() if how == "gone" else path.write_bytes(b"")
    report, found = repaired(store)
    assert model == found
    assert (lost == "CURRENT", []) == (report.verdict == "all kept", report.losses)
    assert (lost != "CURRENT") == any("merged away and not removed yet" in doubt for doubt in report.doubts)


def test_a_manifest_cut_anywhere_costs_no_record(store: Path, model: Model, full: bool) -> None:
    """What is left of it is an older state, that must not be taken for the live one."""
    (path,) = store.glob("MANIFEST-*")
    sound = path.read_bytes()
    for size in range(0, len(sound), 1 if full else 37):
        path.write_bytes(sound[:size])
        assert model == repaired(store)[1], size


def test_a_damaged_manifest_still_rules_out_what_it_says_was_removed(store: Path, model: Model) -> None:
    """A table that was merged away before its deletion was dropped would bring the key back."""
    (path,) = store.glob("MANIFEST-*")
    fs = PosixFileSystem(str(store))
    frames = [part for part in LogScan(fs, path.name).parts() if not isinstance(part, Gap)]
    fs.shut()
    with lsmproc.open(store.parent / "other", background="inline", sstable_max_bytes="4KiB") as db:
        db.put(b"back", b"from the dead")
        db.flush_memtable()
    (dead,) = (store.parent / "other").glob("*.sst")
    shutil.copy(dead, store / "000004.sst")  # the first table, which the compaction removed
    flip(path, frames[-1].end - 60)  # the last edit
    report, found = repaired(store)
    assert (model, False) == (found, report.verdict == "all kept")
    assert "000004.sst is not part of the store any more; left out" in report.notes


def test_no_flip_in_a_footer_costs_a_record_even_without_a_manifest(store: Path, model: Model, full: bool) -> None:
    """What the footer says stands in the file twice."""
    for path in store.glob("MANIFEST-*"):
        path.unlink()
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    sound = table.read_bytes()
    for back in range(1, 81, 1 if full else 3):
        flip(table, len(sound) - back)
        report, found = repaired(store)
        table.write_bytes(sound)
        assert model == found, back
        assert any(table.name in note for note in report.notes)


def test_a_table_cut_short_keeps_its_whole_blocks(store: Path, model: Model, full: bool) -> None:
    """Without footer and index the blocks are found by their checksums."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    sound, blocks = table.read_bytes(), blocks_of(table)
    for size in range(100, len(sound), 97 if full else 977):
        table.write_bytes(sound[:size])
        lost = {key for offset, stored, keys, _ in blocks if offset + stored > size for key in keys}
        report, found = repaired(store)
        assert {key: value for key, value in model.items() if key not in lost}.items() <= found.items(), size
        assert bool(lost) == bool(report.losses), size


@pytest.mark.parametrize("tail", [b"junk", bytes(5000), b"\x89LSMBLK\n" * 20])
def test_junk_behind_a_table_costs_nothing(store: Path, model: Model, tail: bytes) -> None:
    """With or without the manifest."""
    for path in store.glob("*.sst"):
        path.write_bytes(path.read_bytes() + tail)
    assert model == repaired(store)[1]
    (store / "CURRENT").unlink()
    for path in store.glob("MANIFEST-*"):
        path.unlink()
    assert model == repaired(store)[1]


def test_a_lost_index_costs_no_record(store: Path, model: Model) -> None:
    """Neither of the two levels, and not with a bad block in front of it either."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    sound, blocks = table.read_bytes(), blocks_of(table)
    fs = PosixFileSystem(str(store))
    with TableScan(fs, table.name) as scan:
        assert scan.footer is not None
        top = scan.footer.index.offset
    fs.shut()
    partition = blocks[-1][0] + blocks[-1][1]
    for places in ([top + 3], [partition + 3], [top + 3, partition + 3]):
        for place in places:
            flip(table, place)
        report, found = repaired(store)
        assert model == found
        assert any(table.name in note for note in report.notes)
        flip(table, blocks[4][0] + 10)
        report, found = repaired(store)
        table.write_bytes(sound)
        assert {key: value for key, value in model.items() if key not in blocks[4][2]}.items() <= found.items()
        assert blocks[4][0] == report.losses[0].offset


def test_a_missing_table_is_named_with_its_range(store: Path, model: Model) -> None:
    """The manifest knows what it held, and whether deletions are lost with it."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    keys = [key for _, _, keys, _ in blocks_of(table) for key in keys]
    table.unlink()
    report, found = repaired(store)
    (loss,) = report.losses
    assert (table.name, keys[0], keys[-1], len(keys), []) == (
        loss.file,
        loss.smallest,
        loss.largest,
        loss.records,
        report.doubts,
    )
    assert {key: value for key, value in model.items() if key not in keys}.items() <= found.items()


def test_two_swapped_tables_are_both_kept(store: Path, model: Model) -> None:
    """A table is known by its id, not by its name."""
    first, second, *_ = sorted(store.glob("*.sst"))
    first.rename(store / "x")
    second.rename(first)
    (store / "x").rename(second)
    report, found = repaired(store)
    assert (model, "all kept") == (found, report.verdict)
    assert 2 == sum("the file has the wrong name" in note for note in report.notes)


def test_a_table_of_another_store_is_not_taken_in(store: Path) -> None:
    """Sound or not, its records are not ours."""
    with lsmproc.open(store.parent / "other", background="inline") as db:
        db.put(b"foreign", b"1")
        db.flush_memtable()
    (foreign,) = (store.parent / "other").glob("*.sst")
    shutil.copy(foreign, min(store.glob("*.sst")))
    report, found = repaired(store)
    assert (False, True) == (b"foreign" in found, "another table" in report.losses[0].reason)


def test_one_table_alone_is_a_store(store: Path) -> None:
    """Everything else is gone."""
    table = max(store.glob("*.sst"), key=lambda path: path.stat().st_size)
    keys = {key for _, _, keys, _ in blocks_of(table) for key in keys}
    for path in store.iterdir():
        if path != table:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    report, found = repaired(store)
    assert (keys, "something lost") == (found.keys(), report.verdict)


def test_a_hole_in_the_log_is_listed_and_what_follows_is_kept_unless_strict(store: Path, model: Model) -> None:
    """As frames prove themselves behind it; strict keeps a prefix."""
    segment = segment_of(store)
    data = segment.read_bytes()
    frame = frame_view.frame_at(data, HEADER_SIZE)
    assert frame is not None
    for _ in range(9):
        frame = frame_view.frame_at(data, frame.end)
        assert frame is not None
    segment.write_bytes(data[: frame.offset + 1] + os.urandom(frame.end - frame.offset - 1) + data[frame.end :])
    report, found = repaired(store)
    (loss,) = report.losses
    assert (segment.name, frame.offset) == (loss.file, loss.offset)
    lost = {b"log 0009", b"log 0010"}  # the second one's own checksum cannot be checked any more
    assert {key: value for key, value in model.items() if key not in lost}.items() <= found.items()
    report, found = repaired(store, strict=True)
    assert {b"log %04d" % number for number in range(9)} == {key for key in found if key.startswith(b"log")}
    assert (True, True) == (b"key 0001" in found, bool(report.doubts))


def test_a_torn_tail_is_noted_and_no_loss(store: Path, model: Model) -> None:
    """A crash leaves a torn tail. A cut takes the promise with it, so what is left cannot tell: the tail is noted."""
    segment = segment_of(store)
    data = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(data + b"\xce\x01\x02")
    report, found = repaired(store)
    assert (model, "all kept", True) == (found, report.verdict, "torn tail" in report.notes[0])
    segment.write_bytes(data[: len(data) // 2])
    report, found = repaired(store)
    assert found.items() <= (model | {b"key 0001": b"value 1 of round 1"}).items()
    assert any("torn tail" in note for note in report.notes)


def test_a_missing_segment_is_named(store: Path) -> None:
    """The manifest knows that there was one."""
    segment = segment_of(store)
    segment.unlink()
    report, _ = repaired(store)
    assert [(segment.name, "the log segment is missing")] == [(loss.file, loss.reason) for loss in report.losses]


@pytest.fixture
def log_directory(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """A directory for segments that a test writes by hand."""
    fs = PosixFileSystem(str(tmp_path))
    yield fs
    fs.shut()


def write_segment(fs: PosixFileSystem, number: int, before: SegmentEnd | None, bodies: list[bytes]) -> SegmentEnd:
    """A segment of these frames; returns where it ends."""
    wal = PwriteWal(fs, number, 0)
    links = (0, 0, 0) if before is None else (before.number, before.end, before.checksum)
    wal.begin(LogHeader(KIND_WAL, b"u" * 16, number, number, *links), 0)
    for body in bodies:
        wal.append(body, int.from_bytes(body[1:9], "big"))
    end = SegmentEnd(number, *wal._tip)
    wal.close()
    return end


def test_what_an_opening_gave_up_stays_given_up(log_directory: PosixFileSystem, tmp_path: Path) -> None:
    """The next segment says where this one ends: frames behind that were never part of the store again."""
    first = write_segment(log_directory, 1, None, [put_body(5, b"a", b"1")])
    (tmp_path / "000001.wal").unlink()
    write_segment(log_directory, 1, None, [put_body(5, b"a", b"1"), put_body(6, b"gone", b"1")])
    dead = write_segment(log_directory, 2, SegmentEnd(1, first.end + 40, 77, 6), [put_body(7, b"dead", b"1")])
    write_segment(log_directory, 3, first, [put_body(8, b"b", b"2")])
    (tmp_path / "CURRENT").write_bytes(b"?")
    report = lsmproc.repair_store(tmp_path, into=tmp_path.parent / "new segments")
    assert {b"a": b"1", b"b": b"2"} == contents(tmp_path.parent / "new segments")
    assert (2, [], True) == (dead.number, report.losses, any("given it up" in note for note in report.notes))


def test_a_log_inside_a_value_is_not_taken_for_the_log(log_directory: PosixFileSystem, tmp_path: Path) -> None:
    """Its frames check from each other, but they carry no promise of this file."""
    write_segment(log_directory, 9, None, [put_body(n, b"inner %d" % n, b"x") for n in range(50, 60)])
    inner = (tmp_path / "000009.wal").read_bytes()
    (tmp_path / "000009.wal").unlink()
    bodies = [put_body(5, b"a", b"1"), put_body(6, b"copy", inner), put_body(90, b"z", b"3")]
    write_segment(log_directory, 1, None, bodies)
    data = (tmp_path / "000001.wal").read_bytes()
    start = data.index(b"copy") - 19
    (tmp_path / "000001.wal").write_bytes(data[:start] + os.urandom(30) + data[start + 30 :])
    report = lsmproc.repair_store(tmp_path, into=tmp_path.parent / "new log")
    assert {b"a": b"1"}.items() <= contents(tmp_path.parent / "new log").items()
    assert set() == {key for key in contents(tmp_path.parent / "new log") if key.startswith(b"inner")}
    assert report.doubts


def test_a_damaged_header_of_a_segment_costs_no_record(store: Path, model: Model) -> None:
    """The frames themselves prove where their chain begins."""
    segment = segment_of(store)
    for offset in (0, 9, 20, 35, 61):
        sound = segment.read_bytes()
        flip(segment, offset)
        report, found = repaired(store)
        segment.write_bytes(sound)
        assert (model, []) == (found, report.losses), offset


def test_a_deletion_in_the_log_hides_what_tables_hold(log_directory: PosixFileSystem, tmp_path: Path) -> None:
    """Of each key the newest record counts, wherever it stands."""
    write_segment(log_directory, 1, None, [put_body(5, b"a", b"1"), delete_body(6, b"a"), put_body(7, b"b", b"2")])
    report = lsmproc.repair_store(tmp_path, into=tmp_path.parent / "new deleted")
    assert ({b"b": b"2"}, 1) == (contents(tmp_path.parent / "new deleted"), report.tombstones_honoured)


def test_a_log_larger_than_the_memory_for_it_is_kept(
    store: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written out as sorted tables in between, which are gone at the end."""
    monkeypatch.setattr(store_repair, "_SPILL_BYTES", 100)
    monkeypatch.setattr(log_scan, "_CHUNK_BYTES", 256)
    monkeypatch.setattr(table_salvage, "_WINDOW_RECORDS", 3)
    _, found = repaired(store)
    assert (model, []) == (found, os.listdir(store.parent / "new" / "tmp"))


@pytest.mark.parametrize("pattern", ["*.sst", "*.wal"])
def test_a_bad_sector_costs_what_lies_on_it(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the file is read around it."""
    with lsmproc.open(tmp_path / "store", background="inline", compression="none") as db:
        for number in range(400):
            db.put(b"table %04d" % number, bytes(100))
        db.flush_memtable()
        for number in range(400):
            db.put(b"log %04d" % number, bytes(100))
        model = dict(db.range())
    (path,) = [path for path in (tmp_path / "store").glob(pattern) if path.read_bytes().strip(b"\0")]
    inode = path.stat().st_ino

    def read(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == inode and offset < 16384 and offset + size > 12288:
            raise OSError(errno.EIO, "Input/output error")
        return os.pread(fd, size, offset)

    monkeypatch.setattr(PosixFileSystem, "pread", staticmethod(read))
    report, found = repaired(tmp_path / "store")
    assert (True, True) == (found.items() <= model.items(), 0 < len(model) - len(found) < 120)
    assert {path.name} == {loss.file for loss in report.losses}


def test_a_repair_that_was_killed_leaves_no_store_and_an_untouched_source(
    store: Path, model: Model, full: bool, tally: Tally
) -> None:
    """At whichever operation: the new directory says what it is, or is complete."""
    before = dict.fromkeys(states(store))
    into = store.parent / "new"
    operations = killed_at(10**9, store, into)
    complete = 0
    for number in range(1, operations + 1, 1 if full else 3):
        shutil.rmtree(into, ignore_errors=True)
        assert 0 == killed_at(number, store, into)
        try:
            complete += contents(into) == model
        except NotAStoreError as refusal:
            listed = [name for name in os.listdir(into) if name != "LOCK"] if into.exists() else []
            assert not listed or "REPAIR-UNFINISHED" in str(refusal), number
        if (into / "REPAIR-UNFINISHED").exists() and not (into / "CURRENT").exists():
            with pytest.raises(NotAStoreError, match="REPAIR-UNFINISHED"):
                lsmproc.open(into, background="inline")
            with pytest.raises(NotAStoreError, match="not finished"):
                lsmproc.repair_store(store, into=into)
        tally.add("killed repairs")
    assert before == dict.fromkeys(states(store))
    assert complete < operations


def killed_at(number: int, store: Path, into: Path) -> int:
    """Repair in a child that dies before its operation ``number`` on the disk; how many it did if it lived."""
    child = os.fork()
    if not child:
        count = 0
        for name in ("open", "write_all", "fdatasync", "rename", "unlink", "sync_directory", "make_directory"):
            really = getattr(PosixFileSystem, name)

            def counted(self: PosixFileSystem, *arguments: object, really: Callable[..., object] = really) -> object:
                nonlocal count
                count += self.path == str(into)
                if count == number:
                    os._exit(0)
                return really(self, *arguments)

            setattr(PosixFileSystem, name, counted)
        try:
            lsmproc.repair_store(store, into=into)
        finally:
            os._exit(min(count, 255))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_repair_never_writes_into_what_it_reads_or_over_what_is_there(store: Path, tmp_path: Path) -> None:
    """Not inside, not over files, not through a link."""
    (tmp_path / "link").symlink_to(store)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"")
    before = dict.fromkeys(states(store))
    for into in (store, store / "new", tmp_path / "link", tmp_path / "link" / "new"):
        with pytest.raises(ConfigError, match="the damaged store or lies in it"):
            lsmproc.repair_store(store, into=into)
    for name, complaint in (("full", "'letter'"), ("file", "not a directory")):
        with pytest.raises(NotAStoreError, match=complaint):
            lsmproc.repair_store(store, into=tmp_path / name)
    assert before == dict.fromkeys(states(store))


def test_a_store_that_is_open_is_not_repaired(store: Path, tmp_path: Path) -> None:
    """Its owner is named, and nothing is made."""
    with lsmproc.open(store, background="inline"), pytest.raises(LockedError, match=f"pid {os.getpid()}"):
        lsmproc.repair_store(store, into=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    """A mistyped path makes nothing."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nothing"):
        with pytest.raises(NotAStoreError, match=name):
            lsmproc.repair_store(tmp_path / name, into=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_progress_ends_at_the_total(store: Path) -> None:
    """The bar ends where it said it would."""
    seen: list[tuple[int, int]] = []
    lsmproc.repair_store(store, into=store.parent / "new", on_progress=lambda done, total: seen.append((done, total)))
    assert sorted(seen) == seen
    assert seen[-1][0] <= seen[-1][1]


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_large_values_are_found_without_an_index(tmp_path: Path, compression: str) -> None:
    """A block of one value may be far larger than all others; and damage of some blocks costs only these."""
    chance = random.Random(5)
    with lsmproc.open(tmp_path / "store", background="inline", compression=compression) as db:
        for number in range(300):
            large = 1_500_000 if number == 250 else 300_000 if number % 150 == 7 else 200
            db.put(b"key %04d" % number, chance.randbytes(large // 2) + bytes(large // 2))
        db.flush_memtable()
        model = dict(db.range())
    (table,) = (tmp_path / "store").glob("*.sst")
    blocks = blocks_of(table)
    data = bytearray(table.read_bytes())
    del data[-120:]
    table.write_bytes(data)
    assert model == repaired(tmp_path / "store")[1]
    start = next(n for n in range(5, len(blocks)) if max(size for _, size, _, _ in blocks[n : n + 5]) < 10_000)
    damaged = blocks[start : start + 3]
    for offset, size, _, _ in damaged:
        data[offset : offset + size] = chance.randbytes(size)
    table.write_bytes(data)
    lost = {key for _, _, keys, _ in damaged for key in keys}
    assert {key: value for key, value in model.items() if key not in lost} == repaired(tmp_path / "store")[1]
    large = max(range(len(blocks)), key=lambda n: blocks[n][1])
    data[blocks[large - 1][0] + 9] ^= 1
    table.write_bytes(data)
    lost |= {
        key for _, _, keys, _ in blocks[large - 1 : large + 1] for key in keys
    }  # the one before, and the large one
    assert {key: value for key, value in model.items() if key not in lost} == repaired(tmp_path / "store")[1]
