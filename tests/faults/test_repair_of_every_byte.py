"""A store with one damaged byte, whichever it is, is repaired: what the damage did not touch is all there.

What it did touch, a block of a table or a frame of the log, may be missing or may show an older value; then the report
says that something is lost; or, of the newest frame of the log, that it is the torn tail of a crash, since nobody can
tell the two apart. A value that was never written never appears.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lsmproc.env import Env
from lsmproc.formats.file_names import table_name
from lsmproc.repair.store_repair import repair_store
from lsmproc.storage.table_reader import BlockTableReader
from lsmproc.stress.disk_model import lay_out
from tests.faults.damage_trials import quick_directory
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.small_store import SmallStore, State, build_small_store
from tests.tally import Tally

QUICK_STEP, FULL_STEP = 120, 12
LEAST_KEPT = 0.99  # of the keys that the damage does not touch

Blocks = dict[str, tuple[list[int], list[set[bytes]]]]  # of each table: where blocks begin and what keys they hold


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one."""
    with quick_directory(tmp_path) as directory:
        yield directory


@pytest.mark.timeout(1500)
def test_a_repair_keeps_what_one_damaged_byte_did_not_touch(scratch: Path, full: bool, tally: Tally) -> None:
    """Bytes of all files; at least 99 of 100 untouched keys, over all repairs, and nothing invented in any."""
    store = build_small_store(scratch / "store", records=80, value_bytes=150)
    blocks = blocks_of(store, scratch / "sound")
    lay_out(scratch / "damaged", store.files)
    rng = Random(1312)
    untouched = kept = 0
    env = Env(background="inline", open_file_system=QuickFileSystem)
    for name, sound in store.files.items():
        step = min(FULL_STEP if full else QUICK_STEP, max(1, len(sound) // 4))
        for offset in range(rng.randrange(step), len(sound), step):
            damaged = bytearray(sound)
            damaged[offset] ^= rng.choice([0xFF, 1 << rng.randrange(8)])
            (scratch / "damaged" / name).write_bytes(damaged)
            try:
                found = repaired(store, scratch, env)
            except BaseException as error:
                error.add_note(f"byte {offset} of {len(sound)} of {name}")
                raise
            safe = set(store.keys) - touched_keys(store, blocks, name, offset)
            untouched += len(safe)
            kept += sum(found.get(key) == store.states[-1].get(key) for key in safe)
            tally.add("repairs of a damaged byte")
        (scratch / "damaged" / name).write_bytes(sound)
    env.close()
    assert kept >= LEAST_KEPT * untouched, f"{kept} of {untouched} untouched keys kept"
    tally.add("keys that a repair had to keep and kept", kept)
    tally.add("keys that a repair had to keep and lost", untouched - kept)


def repaired(store: SmallStore, scratch: Path, env: Env) -> State:
    """What a repair makes of the damaged store; fails if it holds what never was, or hides that something is lost."""
    report = repair_store(scratch / "damaged", into=scratch / "repaired")
    with store.open(scratch / "repaired", env) as db:
        found = dict(db.range())
        assert found == {key: value for key in store.keys if (value := db.get(key)) is not None}
    shutil.rmtree(scratch / "repaired")
    invented = {key: value for key, value in found.items() if value not in store.history.get(key, set())}
    assert {} == invented
    torn = any("torn tail" in note for note in report.notes)
    if found != store.states[-1] and not torn:
        assert "something lost" == report.verdict, report
    return found


def touched_keys(store: SmallStore, blocks: Blocks, name: str, offset: int) -> set[bytes]:
    """The keys whose records stand in the damaged block, or in the damaged frame and the one behind it."""
    if name in blocks:
        starts, keys = blocks[name]
        block = bisect_right(starts, offset) - 1
        return keys[block] if block < len(keys) else set()
    first = store.intact_writes(name, offset)
    changed: set[bytes] = set()
    for before, after in list(zip(store.states, store.states[1:], strict=False))[first : first + 2]:
        changed |= {key for key in store.keys if before.get(key) != after.get(key)}
    return changed


def blocks_of(store: SmallStore, directory: Path) -> Blocks:
    """Where the blocks of the tables stand, with the end of the last, and their keys."""
    lay_out(directory, store.files)
    blocks: Blocks = {}
    with Env(background="inline", open_file_system=QuickFileSystem) as env:
        with store.open(directory, env, read_only=True) as db:
            for _, file in db._write_path.view.version.files():
                reader = db._parts.tables.reader(file)
                assert isinstance(reader, BlockTableReader)
                keys = [set(reader.columns(index, 1)[0]) for index in range(reader.block_count)]
                partition = reader._partition_of(file.smallest)
                assert partition is not None
                blocks[table_name(file.number)] = (partition[0].offsets, keys)
    return blocks
