"""What plyvel promises and its own tests do not say, on our module; and the same random work on both, step by step."""

from __future__ import annotations

import array
import gc
import logging
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import lsmproc
import lsmproc.compat.plyvel as ours
from lsmproc.compat.plyvel import _plyvel as ours_inside


@pytest.fixture
def db(tmp_path: Path) -> Iterator[ours.DB]:
    """An empty database."""
    with ours.DB(str(tmp_path / "db"), create_if_missing=True) as db:
        yield db


def fill(db: ours.DB, *keys: bytes) -> None:
    """Give each key its own bytes as value."""
    for key in keys:
        db.put(key, key)


def test_a_batch_is_written_when_its_block_raises_unless_it_is_a_transaction(db: ours.DB) -> None:
    """The default of plyvel, which its documentation warns of: programs depend on it."""
    for transaction, expected in ((False, b"x"), (True, None)):
        with suppress(KeyError), db.write_batch(transaction=transaction) as batch:
            batch.put(b"%d" % transaction, b"x")
            raise KeyError
        assert expected == db.get(b"%d" % transaction)


def test_a_written_batch_keeps_its_content_and_writes_it_again(db: ours.DB) -> None:
    """LevelDB does not clear a batch that it has written; only the end of a block does."""
    batch = db.write_batch()
    batch.put(b"a", b"1")
    batch.write()
    db.delete(b"a")
    batch.write()
    assert b"1" == db.get(b"a")
    with batch:
        batch.put(b"b", b"2")
    assert batch.approximate_size() == db.write_batch().approximate_size() == 12


def test_every_buffer_is_a_value(db: ours.DB) -> None:
    """As there: it takes the buffer protocol, lsmproc three types."""
    db.put(b"a", array.array("H", [1, 2]))
    assert array.array("H", [1, 2]).tobytes() == db.get(b"a")
    with pytest.raises(BufferError):
        db.put(b"a", memoryview(b"abcd")[::2])
    for bad in ("text", None, 5):
        with pytest.raises(TypeError):
            db.put(b"a", bad)


def test_an_iterator_outlives_its_snapshot_and_its_database_name(tmp_path: Path) -> None:
    """What is open keeps what it needs, and nothing is closed under it."""
    db = ours.DB(str(tmp_path / "db"), create_if_missing=True)
    fill(db, b"a", b"b")
    with db.snapshot() as snapshot:
        iterator = snapshot.iterator(include_value=False)
    db.delete(b"b")
    gone = weakref.ref(db)
    del db, snapshot
    assert [b"a", b"b"] == list(iterator)
    assert gone() is not None
    del iterator
    gc.collect()
    assert gone() is None
    with ours.DB(str(tmp_path / "db")) as again:  # It was closed, and its lock let go.
        assert [(b"a", b"a")] == list(again)


def test_closing_a_database_ends_iterators_that_have_read_ahead(db: ours.DB) -> None:
    """No record comes out of a closed database, however many were read in advance."""
    fill(db, b"a", b"b", b"c")
    iterator, raw = db.iterator(), db.raw_iterator()
    next(iterator)
    raw.seek_to_first()
    db.close()
    for use in (lambda: next(iterator), iterator.prev, raw.key, raw.valid, raw.next, iterator.seek_to_start):
        with pytest.raises(RuntimeError):
            use()


def test_a_closed_database_refuses_everything_with_the_same_error(db: ours.DB) -> None:
    """RuntimeError, which is no plyvel.Error: a program that catches that one must not swallow this."""
    batch, snapshot, below = db.write_batch(), db.snapshot(), db.prefixed_db(b"x")
    db.close()
    uses: list[Callable[[], object]] = [
        lambda: db.get(b"a"),
        lambda: db.put(b"a", b""),
        lambda: db.delete(b"a"),
        lambda: iter(db),
        db.raw_iterator,
        db.write_batch,
        db.compact_range,
        lambda: db.get_property(b"leveldb.stats"),
        lambda: db.approximate_size(b"a", b"b"),
        lambda: batch.delete(b"a"),
        batch.write,
        batch.clear,
        snapshot.iterator,
        lambda: below.get(b"a"),
        below.iterator,
    ]
    for use in uses:
        with pytest.raises(RuntimeError) as caught:
            use()
        assert not isinstance(caught.value, ours.Error)
    db.close()


@pytest.mark.parametrize("use", [len, lambda db: b"a" in db, lambda db: b"a" in db.prefixed_db(b"")])
def test_neither_length_nor_membership_scans_in_secret(use: Callable[[Any], object], db: ours.DB) -> None:
    """Both raise TypeError."""
    with pytest.raises(TypeError):
        use(db)


def test_errors_are_plyvels(tmp_path: Path, db: ours.DB) -> None:
    """IOError is an OSError, all are an Error, and the cause tells lsmproc's words."""
    with pytest.raises(ours.IOError) as locked:
        ours.DB(str(tmp_path / "db"))
    assert isinstance(locked.value, OSError)
    assert isinstance(locked.value, ours.Error)
    assert isinstance(locked.value.__cause__, lsmproc.LockedError)
    with pytest.raises(ours.Error, match="above the limit"):
        db.put(b"k" * 140_000, b"")
    (tmp_path / "file").touch()
    with pytest.raises(ours.IOError):
        ours.DB(str(tmp_path / "file"), create_if_missing=True)


def test_corruption_found_while_iterating_is_plyvels(tmp_path: Path) -> None:
    """The error of the windows passes through the translation as well."""
    path = tmp_path / "db"
    with ours.DB(str(path), create_if_missing=True) as db:
        fill(db, *(b"%05d" % n for n in range(2000)))
        db.compact_range()
    (table,) = path.glob("*.sst")
    table.write_bytes(b"\xff" * 3000 + table.read_bytes()[3000:])
    with ours.DB(str(path)) as db, pytest.raises(ours.CorruptionError):
        list(db)


def test_a_comparator_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """The one thing that cannot be had."""
    with pytest.raises(ours.Error, match="encode keys so that their bytes sort"):
        ours.DB(str(tmp_path / "db"), create_if_missing=True, comparator=lambda a, b: 0, comparator_name=b"x")
    assert not (tmp_path / "db").exists()


def test_options_out_of_our_limits_are_brought_into_them(tmp_path: Path) -> None:
    """LevelDB does so with its own limits; an odd value that opens there opens here."""
    options = {
        "write_buffer_size": 1,
        "max_open_files": 1,
        "block_size": 1,
        "max_file_size": 1,
        "bloom_filter_bits": 99,
    }
    ours.DB(tmp_path / "db", create_if_missing=True, **options).close()
    with pytest.raises(TypeError):
        ours.DB(str(tmp_path / "db"), nonsense=1)


def test_properties_have_leveldbs_form(db: ours.DB) -> None:
    """Tools parse them."""
    fill(db, b"a", b"b")
    db.compact_range()
    tables = (db.get_property(b"leveldb.sstables") or b"").decode().splitlines()
    assert [f"--- level {level} ---" for level in range(7)] == [line for line in tables if line.startswith("---")]
    assert 1 == sum(line.endswith("['a' .. 'b']") for line in tables)
    files = [db.get_property(b"leveldb.num-files-at-level%d" % level) for level in range(8)]
    assert (1, None) == (sum(int(count) for count in files[:7] if count), files[7])
    levels = [db.get_property(b"leveldb.num-files-at-level%02d" % level) for level in range(8)]
    assert files == levels, "LevelDB reads a decimal number"
    assert db.get_property(b"rocksdb.stats") is None
    assert (db.get_property(b"leveldb.stats") or b"").startswith(b"                               Compactions\nLevel")
    assert int(db.get_property(b"leveldb.approximate-memory-usage") or b"-1") >= 0


def test_approximate_sizes_grow_with_the_range(db: ours.DB) -> None:
    """To a block; a range without keys is empty."""
    draw = random.Random(1)
    with db.write_batch() as batch:
        for n in range(2000):
            batch.put(b"%05d" % n, draw.randbytes(100))
    db.compact_range()
    whole, half, none = db.approximate_sizes((b"", b"\xff"), (b"00000", b"01000"), (b"x", b"y"))
    assert 0 == none
    assert whole * 0.4 < half < whole * 0.6
    assert whole > 200_000


def test_repair_keeps_what_is_damaged_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In place, as LevelDB; what could not be saved is not thrown away."""
    path = tmp_path / "db"
    with ours.DB(str(path), create_if_missing=True) as db:
        fill(db, b"a", b"b")
        db.compact_range()
    ours.repair_db(str(path))
    assert ["db"] == [each.name for each in tmp_path.iterdir()]
    (table,) = path.glob("*.sst")
    table.write_bytes(b"")
    with caplog.at_level(logging.WARNING, "lsmproc"):
        ours.repair_db(str(path))
    assert ["db", "db.damaged-1"] == sorted(each.name for each in tmp_path.iterdir())
    assert "db.damaged-1" in caplog.text
    with pytest.raises(ours.IOError):
        ours.repair_db(str(tmp_path / "nothing"))


def test_destroy_removes_the_database_and_nothing_else(tmp_path: Path) -> None:
    """Foreign files stay, with the directory; an open database is refused; nothing there is no error."""
    path = tmp_path / "db"
    db = ours.DB(str(path), create_if_missing=True)
    fill(db, b"a")
    with pytest.raises(ours.IOError):
        ours.destroy_db(str(path))
    db.close()
    (path / "notes.txt").write_text("mine")
    ours.destroy_db(str(path))
    assert ["notes.txt"] == [each.name for each in path.iterdir()]
    ours.destroy_db(str(path))
    ours.destroy_db(str(tmp_path / "nothing"))
    assert (path / "notes.txt").exists()


def test_a_script_that_forgets_to_close_ends_without_a_warning(tmp_path: Path) -> None:
    """What is dropped is closed there, so programs for it rarely close anything."""
    script = (
        "import sys, lsmproc.compat.plyvel as plyvel\n"
        "db = plyvel.DB(sys.argv[1], create_if_missing=True)\n"
        "db.put(b'a', b'1'); it = db.iterator(); next(it)\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("seed", range(12))
def test_random_work_gives_what_plyvel_gives(seed: int, tmp_path: Path) -> None:
    """Writes, batches, snapshots, views below nested prefixes, both kinds of iterators: every answer is equal."""
    theirs = pytest.importorskip("plyvel", reason="plyvel is not installed: nothing to compare with")
    draw = random.Random(seed)
    real = theirs.DB(str(tmp_path / "theirs"), create_if_missing=True)
    db = ours.DB(str(tmp_path / "ours"), create_if_missing=True)
    try:
        _write_alike(draw, real, db)
        snapshots = real.snapshot(), db.snapshot()
        _write_alike(draw, real, db)
        for each in (real, db):
            each.delete(b"ab")  # plyvel misses the record whose key is the prefix, if it steps down to it alone.
        below = real.prefixed_db(b"a").prefixed_db(b"b"), db.prefixed_db(b"a").prefixed_db(b"b")
        seen_below = below[0].snapshot(), below[1].snapshot()
        for pair in ((real, db), snapshots, below, seen_below):
            for _ in range(6):
                _walk_alike(draw, *pair)
        for pair in ((real, db), snapshots, seen_below):
            _walk_raw_alike(draw, *pair)
    finally:
        real.close()
        db.close()


def _key(draw: random.Random) -> bytes:
    return bytes(draw.choice(b"abc\xff") for _ in range(draw.randint(1, 4)))


def _write_alike(draw: random.Random, *dbs: Any) -> None:
    for _ in range(60):
        key, value, put = _key(draw), draw.randbytes(3), draw.random() < 0.7
        prefix = draw.choice([None, b"a", b"\xff"])
        for db in dbs:
            target = db if prefix is None else db.prefixed_db(prefix)
            with target.write_batch() as batch:
                if put:
                    batch.put(key, value)
                else:
                    batch.delete(key)
                size = batch.approximate_size()
            assert size == batch.approximate_size() + 1 + 1 + len((prefix or b"") + key) + put * (1 + len(value))


def _walk_alike(draw: random.Random, real: Any, db: Any) -> None:
    options: dict[str, Any] = {"reverse": draw.random() < 0.5, "include_value": draw.random() < 0.5}
    # Bounds lie between keys: plyvel itself errs on those that equal one, see tests/iterators/test_against_plyvel.py.
    if draw.random() < 0.3:
        options["prefix"] = _key(draw)[:2] + b"\x00"
    else:
        options |= {"start": draw.choice([None, _key(draw) + b"\0"]), "stop": draw.choice([None, _key(draw) + b"\0"])}
        options["include_stop"] = draw.random() < 0.3
    assert list(real.iterator(**options)) == list(db.iterator(**options))
    theirs, mine = real.iterator(**options), db.iterator(**options)
    start = options.get("start")
    sought = False
    for _ in range(40):
        match draw.choice(["next", "next", "prev", "prev", "seek", "start", "stop"]):
            case "next" | "prev" as step:
                expected, actual = _step(theirs, step), _step(mine, step)
                if sought and actual == "end" != expected:  # plyvel has left the range, as it may right after a seek.
                    theirs.seek_to_start()
                    mine.seek_to_start()
                else:
                    assert expected == actual
                sought = False
            case "seek" if start is None and "prefix" not in options:
                target = _key(draw)
                theirs.seek(target)
                mine.seek(target)
                sought = True
            case "start" | "stop" as end:
                for iterator in (theirs, mine):
                    getattr(iterator, f"seek_to_{end}")()
                sought = False
            case _:
                pass


def _walk_raw_alike(draw: random.Random, real: Any, db: Any) -> None:
    theirs, mine = real.raw_iterator(), db.raw_iterator()
    for _ in range(80):
        step = draw.choice(["next", "next", "prev", "prev", "seek", "seek_to_first", "seek_to_last", "item", "valid"])
        arguments = (_key(draw),) if step == "seek" else ()
        assert _raw(theirs, step, arguments) == _raw(mine, step, arguments)


def _step(iterator: Any, step: str) -> Any:
    try:
        return iterator.prev() if step == "prev" else next(iterator)
    except StopIteration:
        return "end"


def _raw(iterator: Any, step: str, arguments: tuple[bytes, ...]) -> tuple[str, Any]:
    try:
        return "value", getattr(iterator, step)(*arguments)
    except Exception as error:  # noqa: BLE001 - it is compared by its name
        return "error", type(error).__name__


def test_the_inner_module_has_the_classes_that_programs_ask_isinstance_of(db: ours.DB) -> None:
    """``plyvel._plyvel.PrefixedDB`` is how its type is named in annotations."""
    assert isinstance(db.prefixed_db(b"a"), ours_inside.PrefixedDB)
    assert isinstance(iter(db), ours_inside.Iterator)
    assert isinstance(db.write_batch(), ours_inside.WriteBatch)
