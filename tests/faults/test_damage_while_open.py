"""Files that are damaged under an open store: what is needed fails by name, the rest is served, and nothing is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lsmproc import BackgroundError, LSMStore
from lsmproc.config import LSMConfig
from lsmproc.errors import CorruptionError
from lsmproc.storage.table_reader import BlockTableReader
from lsmproc.verification import verify_store
from tests.faults.damage_trials import quick_directory
from tests.faults.small_store import HeldBackground, State, env_with
from tests.tally import Tally

QUICK_STEP = 20
SHAPE = {"memtable_max_bytes": 4096, "sstable_max_bytes": 4096, "block_bytes": 512, "wal_sync": "none"}
KEYS = [b"key-%03d" % number for number in range(60)]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one."""
    with quick_directory(tmp_path) as scratch:
        yield scratch / "store"


def open_store(directory: Path, background: HeldBackground | None = None, **options: object) -> LSMStore:
    """A store whose jobs run when the test says."""
    config = LSMConfig.from_options(directory, **{**SHAPE, **options})
    return LSMStore(config, env=env_with(background or HeldBackground()))


def flip(path: Path, offset: int, mask: int = 0xFF) -> None:
    """Change one byte; the same call changes it back."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0] ^ mask
        file.seek(offset)
        file.write(bytes((byte,)))


def three_tables(db: LSMStore) -> State:
    """Three tables of level 0 with several blocks each, and the state they lead to."""
    state: State = {}
    for round_ in range(3):
        for key in KEYS[round_::2]:
            state[key] = b"%s, round %d" % (key, round_) * 3
            db.put(key, state[key])
        gone = KEYS[round_ + 7]
        state.pop(gone, None)
        db.delete(gone)
        db.flush_memtable()
    return state


@pytest.mark.timeout(1500)
def test_a_sealed_segment_damaged_before_its_flush_costs_no_record(
    directory: Path, full: bool, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    """Each byte of it, in turn: the job fails and names the segment, and the owner writes the table from memory."""
    step = 1 if full else QUICK_STEP
    background = HeldBackground()
    rng = Random(11)
    state: State = {}
    offset, size, rounds = 0, 1, 0
    with open_store(directory, background, level0_compaction_trigger=4) as db:
        while offset < size:
            background.held = True
            for key in KEYS[rounds % 6 :: 9]:  # Always as many: all segments are of one size.
                state[key] = b"round %06d of %s" % (rounds, key)
                db.put(key, state[key])
            state.pop(KEYS[rounds % 50], None)
            db.delete(KEYS[rounds % 50])
            db._write_path.rotate()
            (end,) = db._write_path.view.immutables[0].segments
            segment, size = directory / f"{end.number:06d}.wal", end.end
            flip(segment, offset, rng.choice([0xFF, 1 << rng.randrange(8)]))
            caplog.clear()
            with caplog.at_level(logging.ERROR, "lsmproc"):
                background.release()
            assert segment.name in caplog.text, f"byte {offset} of {size}"
            assert "flushed from memory instead" in caplog.text
            assert not segment.exists()
            assert state == dict(db.range())
            offset, rounds = offset + step, rounds + 1
        assert rounds == db.stats().failed_jobs
    with open_store(directory) as db:
        assert state == dict(db.range())
    assert "sound" == verify_store(directory).verdict
    tally.add("bytes of a segment damaged before its flush", rounds)


def test_a_sealed_segment_cut_short_or_removed_before_its_flush_costs_no_record(directory: Path, tally: Tally) -> None:
    """Its records are in memory: the table is written from there."""
    background = HeldBackground()
    state: State = {}
    with open_store(directory, background) as db:
        for rounds, share in enumerate((0.0, 0.01, 0.3, 0.7, 0.99, None)):
            background.held = True
            for key in KEYS[rounds::5]:
                state[key] = b"round %d of %s" % (rounds, key)
                db.put(key, state[key])
            db._write_path.rotate()
            (end,) = db._write_path.view.immutables[0].segments
            segment = directory / f"{end.number:06d}.wal"
            if share is None:
                segment.unlink()
            else:
                os.truncate(segment, int(end.end * share))
            background.release()
            assert () == db._write_path.view.immutables
            assert state == dict(db.range())
            tally.add("segments cut short or removed before their flush")
    with open_store(directory) as db:
        assert state == dict(db.range())


@pytest.mark.parametrize("cached", [False, True])
def test_a_block_damaged_while_the_store_is_open_fails_for_its_keys_only(
    directory: Path, tally: Tally, cached: bool
) -> None:
    """Other blocks and tables are served; a block in the cache is served too; put right, it is read again."""
    with open_store(directory) as db:
        state = three_tables(db)
        db.compact_range()
        blocks = blocks_of(db)
    assert len(blocks) >= 6
    for name, offset, keys in blocks:
        with open_store(directory) as db:
            assert state == dict(db.range(fill_cache=cached))
            flip(directory / name, offset + 3)
            for key in KEYS:
                if key in keys and not cached:
                    with pytest.raises(CorruptionError) as caught:
                        db.get(key)
                    assert (name, offset) == (caught.value.file, caught.value.offset)
                else:
                    assert state.get(key) == db.get(key)
            if not cached:
                found: list[tuple[bytes, bytes]] = []
                with pytest.raises(CorruptionError, match=f"{name} at byte {offset}"):
                    found.extend(db.range())
                assert sorted(state.items())[: len(found)] == found
            flip(directory / name, offset + 3)
            assert state == dict(db.range())
            tally.add("blocks damaged while the store was open")


def blocks_of(db: LSMStore) -> list[tuple[str, int, set[bytes]]]:
    """File, offset and keys of each block."""
    blocks = []
    for _, file in db._write_path.view.version.files():
        reader = db._parts.tables.reader(file)
        assert isinstance(reader, BlockTableReader)
        for index in range(reader.block_count):
            partition = reader._partition_of(file.smallest)[0]
            keys = set(reader.columns(index, 1, fill_cache=False)[0])
            blocks.append((f"{file.number:06d}.sst", partition.offsets[index], keys))
    return blocks


@pytest.mark.timeout(1500)
def test_a_damaged_input_fails_its_compaction_and_loses_nothing(directory: Path, full: bool, tally: Tally) -> None:
    """Any byte of any input: the error names file and place, the inputs stay, writes stop, reads go on."""
    rng = Random(12)
    with open_store(directory, level0_compaction_trigger=10) as db:
        state = three_tables(db)
        inputs = tables_of(db)
        before = contents(directory, inputs)
    for name, content in before.items():
        for offset in range(rng.randrange(QUICK_STEP), len(content), 7 if full else 5 * QUICK_STEP):
            mask = rng.choice([0xFF, 1 << rng.randrange(8)])
            check_failed_compaction(directory, name, offset, mask, state, inputs)
            assert before == contents(directory, inputs)
            tally.add("damaged inputs of a compaction")
    with open_store(directory, level0_compaction_trigger=10) as db:
        db.compact_level(0)
        assert state == dict(db.range())
        assert not set(inputs) & set(tables_of(db))


def check_failed_compaction(
    directory: Path, name: str, offset: int, mask: int, state: State, inputs: list[str]
) -> None:
    """Damage one byte of an input under an open store, compact, and put the byte right again."""
    with open_store(directory, level0_compaction_trigger=10) as db:
        flip(directory / name, offset, mask)
        with pytest.raises(BackgroundError) as caught:
            db.compact_level(0)
        assert f"{name} at byte " in str(caught.value), f"byte {offset} of {name}"
        assert inputs == tables_of(db)
        assert [] == list((directory / "tmp").iterdir())
        with pytest.raises(BackgroundError, match=name):
            db.put(b"a", b"refused")
        for key in KEYS:
            try:
                assert state.get(key) == db.get(key)
            except CorruptionError as error:
                assert name == error.file
        flip(directory / name, offset, mask)
    with open_store(directory, level0_compaction_trigger=10) as db:
        assert state == dict(db.range())


def tables_of(db: LSMStore) -> list[str]:
    """Names of the live tables."""
    return [f"{file.number:06d}.sst" for _, file in db._write_path.view.version.files()]


def contents(directory: Path, names: list[str]) -> dict[str, bytes]:
    """What is in these files."""
    return {name: (directory / name).read_bytes() for name in names}
