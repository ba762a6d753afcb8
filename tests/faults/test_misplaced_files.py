"""Files that are cut short, grown, removed, swapped, foreign or old: named, or every value that is shown is right.

The manifest lists the log segments that were there when it was last written, and how far each of them was synced then.
What no store of this design can tell apart is said here and nowhere hidden: a newest log segment that ends earlier
than it did, but not before what the manifest knows (cut short, an older copy of itself, or removed if it was begun
after the last flush), looks like one that was never written further. Then the state is the one after an earlier write;
never a mixture, and never an empty store in place of tables.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import CURRENT, LOCK, FileKind
from lsmproc.repair.store_repair import repair_store
from lsmproc.stress.disk_model import lay_out
from lsmproc.verification import verify_store
from tests.faults.damage_trials import (
    ERROR_AT_OPEN,
    ERROR_ON_READ,
    NOTED,
    TORN_TAIL,
    UNNOTICED,
    Changes,
    DamageTrials,
    Finding,
    damage_trials,
    quick_directory,
)
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.small_store import SmallStore, build_small_store, contents, look_at
from tests.tally import Tally

QUICK_STEP = 40
ERRORS = {ERROR_AT_OPEN, ERROR_ON_READ}
SHAPES: list[dict[str, object]] = [
    {"records": 40, "value_bytes": 60},
    {"records": 40, "promise": False, "manifest": "snapshot", "table_format": "plain"},
    {"records": 40, "late_flush": True},
]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one."""
    with quick_directory(tmp_path) as directory:
        yield directory


@pytest.fixture(params=SHAPES, ids=["log manifest", "snapshot manifest", "flush behind a sync"])
def trials(request: pytest.FixtureRequest, scratch: Path) -> Iterator[DamageTrials]:
    """Trials of a store."""
    with damage_trials(scratch, build_small_store(scratch / "store", **request.param)) as trials:
        yield trials


def kinds_of(store: SmallStore) -> dict[str, str]:
    """What each file is, by name."""
    newest = store.live_segments[-1]
    kinds = dict.fromkeys(store.files, "indifferent")
    kinds |= dict.fromkeys(store.named(FileKind.TABLE), "table")
    kinds |= dict.fromkeys(store.live_segments, "segment")
    kinds |= {newest: "newest segment", CURRENT: "CURRENT", store.named(FileKind.MANIFEST)[0]: "manifest"}
    return kinds


@pytest.mark.timeout(3000)
def test_a_file_cut_to_any_length_is_named_or_hides_only_the_end_of_the_log(
    trials: DamageTrials, full: bool, tally: Tally
) -> None:
    """Tables are named always; the rest, unless nothing that counted was cut."""
    store = trials.store
    rng = Random(99)
    for name, kind in kinds_of(store).items():
        content = store.files[name]
        used = len(content.rstrip(b"\0"))
        for size in lengths(len(content), 1 if full else QUICK_STEP, rng):
            finding = trials.look({name: content[:size]}, store.candidates(name, size), owner=full or size % 3 == 0)
            check_cut(store, name, kind, size, used, finding)
            tally.add("files cut short")


def check_cut(store: SmallStore, name: str, kind: str, size: int, used: int, finding: Finding) -> None:
    """What may come of a file that ends after ``size`` bytes, of which ``used`` bytes meant something."""
    whole = finding.outcome in {UNNOTICED, NOTED}
    place = f"{name} cut to {size} bytes of {used}: {finding.outcome}"
    if kind == "table":
        assert {(name, ERROR_AT_OPEN)} == {(error.file, finding.outcome) for error in finding.errors}, place
    elif kind == "indifferent" or size >= used:
        assert whole, place
    elif size < store.listed.get(name, 0) or (kind == "segment" and store.promised > store.intact_writes(name, used)):
        assert ERROR_AT_OPEN == finding.outcome, place
        assert {name} == {error.file for error in finding.errors}, place
    elif kind in {"segment", "newest segment"}:
        # It ends in a torn frame, or where it might have ended: the writes before that are all there.
        assert finding.outcome in {TORN_TAIL, NOTED, UNNOTICED}, place
        assert whole == (store.intact_writes(name, size) == len(store.writes)), place
    elif kind == "CURRENT":
        assert ERROR_AT_OPEN == finding.outcome or (whole and size == used - 1), place
    elif kind == "manifest" and not whole:
        # An older tree: it names what is there no more.
        assert ERROR_AT_OPEN == finding.outcome, place
        assert all(error.file == name or error.file not in store.files for error in finding.errors), place


@pytest.mark.timeout(3000)
def test_junk_behind_a_file_is_named_or_passed_over(trials: DamageTrials, tally: Tally) -> None:
    """One byte, a page of zeros, a page of ones, the file's own end once more; behind a file, or behind its frames."""
    store = trials.store
    for name, kind in kinds_of(store).items():
        content = store.files[name]
        used = content.rstrip(b"\0")
        junks = [b"\x01", b"\n", bytes(4096), b"\xff" * 4096, content[-100:], used[-100:], used[-23:]]
        changed = [content + junk for junk in junks]
        if kind not in {"table", "CURRENT"}:
            changed += [used + junk + content[len(used) + len(junk) :] for junk in junks]
        for number, damaged in enumerate(changed):
            finding = trials.look({name: damaged}, [store.states[-1]])
            place = f"{name} with junk {number}: {finding.outcome}"
            if kind in {"table", "CURRENT"}:
                assert {(name, ERROR_AT_OPEN)} == {(error.file, finding.outcome) for error in finding.errors}, place
            else:
                visible = damaged.rstrip(b"\0") != used and kind != "indifferent"
                visible = visible or (name == "OPTIONS" and damaged != content)  # its checksum is of all there is
                no_log = name == _blank(store) and finding.outcome == ERROR_AT_OPEN and damaged[:1] != b"\0"
                assert no_log or (NOTED if visible else UNNOTICED) == finding.outcome, place
            tally.add("files with junk behind them")


def test_a_removed_file_is_named_or_was_the_end_of_the_log(trials: DamageTrials, tally: Tally) -> None:
    """Never an empty store in its place."""
    store = trials.store
    for name, kind in kinds_of(store).items():
        finding = trials.look({name: None}, store.candidates(name, 0))
        if kind == "indifferent":
            assert UNNOTICED == finding.outcome, name
        elif kind == "newest segment" and name not in store.listed:
            assert TORN_TAIL == finding.outcome
        else:
            assert ERROR_AT_OPEN == finding.outcome, name
            assert {name} == {error.file for error in finding.errors}
        tally.add("files removed")


@pytest.mark.parametrize("blank", [False, True], ids=["written", "not begun"])
def test_each_segment_that_was_there_at_an_opening_is_missed(scratch: Path, tally: Tally, blank: bool) -> None:
    """By an opening, by ``verify_store`` and by a repair; also while the newest one has not even a header."""
    directory, env = scratch / "store", Env(background="inline", open_file_system=QuickFileSystem)
    for number in range(3):
        with LSMStore(LSMConfig(data_dir=directory), env=env) as db:
            db.put(b"key%d" % number, b"value")
            db.sync()
            files = contents(directory)
    segments = sorted(name for name in files if name.endswith(".wal"))
    assert 3 == len(segments)
    for missing in segments:
        shutil.rmtree(directory)
        damaged = {name: content for name, content in files.items() if name != missing}
        if blank and missing != segments[-1]:
            damaged[segments[-1]] = bytes(4096)
        lay_out(directory, damaged)
        for read_only in (True, False):
            with pytest.raises(CorruptionError, match="missing") as caught:
                LSMStore(LSMConfig(data_dir=directory, read_only=read_only), env=env)
            assert missing == caught.value.file
        assert [missing] == [problem.file for problem in verify_store(directory).problems]
        report = repair_store(directory, into=scratch / f"repaired-{missing}", strict=missing == segments[-1])
        assert [missing] == [loss.file for loss in report.losses]
        tally.add("segments missed by the manifest")
    env.close()


def test_any_two_files_swapped_are_named(trials: DamageTrials, tally: Tally) -> None:
    """Of one kind or of two; unless neither means anything."""
    store = trials.store
    kinds = kinds_of(store)
    for left, right in combinations(store.files, 2):
        changes = {left: store.files[right], right: store.files[left]}
        finding = trials.look(changes, [store.states[-1]])
        place = f"{left} for {right}: {finding.outcome} {finding.errors}"
        assert {error.file for error in finding.errors} <= {left, right}, place
        if {kinds[left], kinds[right]} == {"indifferent"}:
            # What stands in place of a blank segment is no log, or it means as little as one.
            assert finding.outcome in {UNNOTICED, NOTED} or _blank(store) in changes, place
        else:
            assert finding.outcome in ERRORS, place
        tally.add("files swapped")


def test_files_of_another_store_under_the_same_names_are_named(scratch: Path, tally: Tally) -> None:
    """One file, or all of a kind or of several kinds, of a store with the same life, and of one with other values."""
    for shape in SHAPES:
        store = build_small_store(scratch / "store", **shape)  # type: ignore[arg-type]
        for seed in (20250, 4):
            other = build_small_store(scratch / "other", **{**shape, "seed": seed})  # type: ignore[arg-type]
            assert set(store.files) == set(other.files)
            with damage_trials(scratch, store) as trials:
                for names in _foreign_sets(store):
                    changes = {name: other.files[name] for name in names}
                    finding = trials.look(changes, [store.states[-1], other.states[-1]])
                    place = f"{names} of another store: {finding.outcome}"
                    assert (finding.outcome in ERRORS) == _matters(store, names), place
                    assert all(error.file in store.files for error in finding.errors), place
                    tally.add("files of another store")


def test_older_copies_of_its_own_files_never_bring_a_value_back(trials: DamageTrials, tally: Tally) -> None:
    """Single files, all segments, CURRENT with its manifest: named, or all right, or the log ends earlier."""
    store = trials.store
    kinds = kinds_of(store)
    seen: set[tuple[tuple[str, bytes], ...]] = set()
    for past in store.past:
        old = {name: content for name, content in past.items() if store.files.get(name) != content}
        manifest = {name: content for name, content in past.items() if name.startswith("MANIFEST-")}
        sets: list[Changes] = [{name: content} for name, content in old.items()]
        sets += [{name: content for name, content in old.items() if name.endswith(".wal")}]
        sets += [{CURRENT: past[CURRENT], **manifest}]
        for changes in sets:
            key = tuple((name, content or b"") for name, content in sorted(changes.items()))
            if not changes or key in seen:
                continue
            seen.add(key)
            finding = trials.look(changes, [store.states[-1], *store.states[-2::-1]])
            place = f"old {list(changes)}: {finding.outcome}"
            if finding.outcome == TORN_TAIL:
                assert all(kinds.get(name, name).endswith(("segment", ".wal")) for name in changes), place
                known = max((store.intact_writes(*each) for each in store.listed.items() if each[1]), default=0)
                assert finding.state in store.states[known:], place
            else:
                assert finding.outcome in ERRORS | {UNNOTICED, NOTED}, place
            assert not any(kinds.get(name) == "table" for name in changes), "a table was written again"
            tally.add("older copies of files")


def test_two_tables_of_one_size_that_are_swapped_are_named(scratch: Path, tally: Tally) -> None:
    """Nothing but the tables' own ids tells them apart."""
    for table_format in ("block", "plain"):
        store = SmallStore({"compression": "none", "table_format": table_format, "filter": "none"})
        directory = scratch / "store"
        env = Env(background="inline", open_file_system=QuickFileSystem)
        with store.open(directory, env, create_if_missing=True) as db:
            for number in (1, 2):
                for key in (b"a", b"b", b"c"):
                    db.put(key, b"%s%d" % (key, number))
                db.flush_memtable()
            state = dict(db.range())
        left, right = sorted(directory.glob("*.sst"))
        first, second = left.read_bytes(), right.read_bytes()
        assert len(first) == len(second)
        left.write_bytes(second)
        right.write_bytes(first)
        store.keys = sorted(state)
        found = look_at(store, directory, env, [state], read_only=True)
        env.close()
        assert {left.name, right.name} >= {error.file for error in found.errors}
        assert found.opened
        assert 5 <= len(found.errors)  # two scans and three gets
        assert {left.name, right.name} == {problem.file for problem in verify_store(directory).problems}
        left.unlink()
        right.unlink()
        _remove(directory)
        tally.add("tables of one size swapped")


def lengths(size: int, step: int, rng: Random) -> list[int]:
    """Lengths below ``size``, one in ``step``; none, and all but one byte, among them."""
    return sorted({0, size - 1, *range(rng.randrange(step), size, step)})


def _remove(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()


def _blank(store: SmallStore) -> str:
    return store.named(FileKind.WAL)[-1]


def _foreign_sets(store: SmallStore) -> list[list[str]]:
    """Each file, and each choice of kinds but all of them."""
    kinds = [
        [CURRENT],
        store.named(FileKind.MANIFEST),
        store.named(FileKind.TABLE),
        store.named(FileKind.WAL),
        [LOCK],
    ]
    chosen = [list(choice) for count in range(1, len(kinds)) for choice in combinations(range(len(kinds)), count)]
    sets = [[name for index in choice for name in kinds[index]] for choice in chosen]
    return [[name] for name in store.files] + sets


def _matters(store: SmallStore, names: Sequence[str]) -> bool:
    """Whether a mixture of two stores can be told from both: CURRENT, LOCK and blank segments are alike."""
    telling = {name for name, kind in kinds_of(store).items() if kind not in {"indifferent", "CURRENT"}}
    return 0 < len(telling & set(names)) < len(telling)
