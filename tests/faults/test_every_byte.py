"""Each byte of each file of a store is damaged in turn: the damage is named, or every value that is shown is right.

For each damage the store is verified, opened read-only and read in every way, and opened by an owner that writes. The
tally tells how the damage was found. In the log above the last promise, damage cannot be told from the torn tail of a
crash: then exactly the damaged write and those behind it may be missing.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lsmproc.env import Env
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import CURRENT, FileKind
from lsmproc.stress.disk_model import lay_out
from tests.faults.damage_trials import (
    ERROR_AT_OPEN,
    ERROR_ON_READ,
    TORN_TAIL,
    UNNOTICED,
    DamageTrials,
    Outcome,
    damage_trials,
    quick_directory,
)
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.small_store import SmallStore, build_small_store
from tests.tally import Tally

QUICK_STEP = 40  # the quick form takes one byte of so many
OWNER_STEP = 8  # of bytes that recovery does not read, or that are zeros, an owner opens the store with one of so many

FULL_STORE: dict[str, object] = {"records": 70, "value_bytes": 150}
OTHERS: dict[str, dict[str, object]] = {
    "snapshot manifest, plain tables, no promise": {
        "records": 40,
        "promise": False,
        "manifest": "snapshot",
        "table_format": "plain",
    },
    "zstd, no filter": {"records": 40, "compression": "zstd", "filter": "none", "memtable": "sorted_dict"},
    "no compression, no promise": {"records": 40, "compression": "none", "promise": False},
}


def outcome_of(trials: DamageTrials, name: str, offset: int, mask: int) -> Outcome:
    """Change one byte, look, change it back; fail unless the damage is named in its place or nothing is wrong."""
    store = trials.store
    damaged = bytearray(store.files[name])
    damaged[offset] ^= mask
    indifferent = name.endswith(".sst") or not store.files[name][offset]
    owner = not indifferent or offset % OWNER_STEP == 0
    finding = trials.look({name: bytes(damaged)}, store.candidates(name, offset), owner=owner)
    for error in finding.errors:
        check_place(error, name, offset)
    if finding.outcome == TORN_TAIL:
        intact = store.intact_writes(name, offset)
        assert intact >= store.promised, f"{store.promised} writes were promised, and {intact} are left"
        # A lost promise or seal ends the log as well; then what follows it is missing, and nothing before it.
        notes = finding.report.notes
        assert any(note.startswith(name) or "follows a hole" in note for note in notes), finding.report
    if finding.outcome == UNNOTICED:
        assert is_unused(store, name), f"nobody notices: {finding.report}"
    return finding.outcome


def check_place(error: CorruptionError, name: str, offset: int) -> None:
    """The error names the damaged file and a place at or before the damage."""
    assert name == error.file
    assert error.offset is not None
    assert error.offset <= offset
    assert f"{name} at byte {error.offset}" in str(error)


def is_unused(store: SmallStore, name: str) -> bool:
    """Whether a file means nothing: the text in LOCK, an unfinished output, a segment that was never begun."""
    blank = name in store.named(FileKind.WAL) and name not in store.live_segments
    return name == "LOCK" or name.startswith("tmp/") or blank


def places(files: dict[str, bytes], step: int, rng: Random) -> Iterator[tuple[str, int]]:
    """One byte of each ``step`` bytes, and the ends of each file."""
    for name, content in sorted(files.items()):
        chosen = {0, len(content) - 1, *range(rng.randrange(step), len(content), step)}
        for offset in sorted(chosen):
            yield name, offset


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one."""
    with quick_directory(tmp_path) as directory:
        yield directory


@pytest.mark.timeout(3000)
def test_no_byte_of_a_store_can_change_unnoticed(scratch: Path, full: bool, tally: Tally) -> None:
    """Every byte of every kind of file, all bits of it and one: it is named, or nothing is wrong, and never silent."""
    store = build_small_store(scratch / "store", **FULL_STORE)  # type: ignore[arg-type]
    rng = Random(4711)
    tried = _damage_all(scratch, store, store.files, 1 if full else QUICK_STEP, rng, tally)
    assert tried[ERROR_AT_OPEN] > 0
    assert tried[ERROR_ON_READ] > 0
    assert tried[TORN_TAIL] > 0


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("variant", OTHERS)
def test_no_byte_of_another_format_can_change_unnoticed(scratch: Path, full: bool, tally: Tally, variant: str) -> None:
    """The other table formats, codecs and manifest, and logs whose newest segment promises nothing."""
    store = build_small_store(scratch / "store", **OTHERS[variant])  # type: ignore[arg-type]
    files = {name: content for name, content in store.files.items() if name != "LOCK" and "/" not in name}
    _damage_all(scratch, store, files, 2 if full else 8 * QUICK_STEP, Random(variant), tally)


def _damage_all(
    scratch: Path, store: SmallStore, files: dict[str, bytes], step: int, rng: Random, tally: Tally
) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    with damage_trials(scratch, store) as trials:
        for name, offset in places(files, step, rng):
            for mask in (0xFF, 1 << rng.randrange(8)):
                try:
                    outcomes[outcome_of(trials, name, offset, mask)] += 1
                except BaseException as error:
                    error.add_note(f"byte {offset} of {len(files[name])} of {name} xor {mask:#x}")
                    raise
    for outcome, count in outcomes.items():
        tally.add(f"damaged bytes: {outcome}", count)
    return outcomes


def test_a_store_in_each_format_has_a_file_of_every_kind(scratch: Path) -> None:
    """What the other tests damage: tables on two levels, sealed and open segments, a promise, a blank segment."""
    for shape in (FULL_STORE, *OTHERS.values()):
        store = build_small_store(scratch / "store", **shape)  # type: ignore[arg-type]
        env = Env(background="inline", open_file_system=QuickFileSystem)
        lay_out(scratch / "copy", store.files)
        with store.open(scratch / "copy", env, read_only=True) as db:
            files = db.live_files()
        env.close()
        shutil.rmtree(scratch / "copy")
        assert 2 == len({file.level for file in files})
        assert any(file.tombstones for file in files)
        assert 2 == len(store.live_segments)
        assert 3 == len(store.named(FileKind.WAL))
        assert 1 == len(store.named(FileKind.MANIFEST))
        assert {CURRENT, "LOCK", "tmp/1-7-1-0.sst"} <= store.files.keys()
        assert 0 < store.promised < len(store.writes)
