"""What every manifest promises: an edit that returned is there; a crash or an error leaves the old state or the new."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from lsmproc.errors import CorruptionError, StorageError
from lsmproc.formats.file_names import TMP_DIRECTORY
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.storage.manifest import LogManifest, SnapshotManifest, read_manifest
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers, VersionSet
from tests.faults.faulty_file_system import FaultPlan, FaultyFileSystem, Killed, QuickFileSystem

STORE = b"one store's uuid"

MANIFESTS = pytest.mark.parametrize("make_manifest", [LogManifest, SnapshotManifest])
MakeManifest = type[LogManifest | SnapshotManifest]


def table(number: int) -> FileMetadata:
    """A description of a table that nobody opens."""
    return FileMetadata(number, 100, number, number, b"k%d" % number, b"k%d" % number, 1, 0, number, number, 10)


@pytest.fixture
def plan() -> FaultPlan:
    """What goes wrong; nothing at first."""
    return FaultPlan()


@pytest.fixture
def fs(tmp_path: Path, plan: FaultPlan) -> Iterator[FaultyFileSystem]:
    """A store's directory."""
    fs = plan.open_file_system(str(tmp_path))
    fs.make_directory(TMP_DIRECTORY)
    yield fs
    fs.shut()


def read(path: str) -> Version:
    """The version that the next owner would find."""
    fs = QuickFileSystem(path)
    try:
        manifest = read_manifest(fs)
        assert STORE == manifest.store_uuid
        return manifest.version
    finally:
        fs.shut()


def shape(version: Version) -> list[tuple[int, int]]:
    """Levels and numbers of the tables."""
    return [(level, file.number) for level, file in version.files()]


def life(make_manifest: MakeManifest, fs: FaultyFileSystem, known: list[Version], numbers: FileNumbers) -> VersionSet:
    """Flushes and moves, one edit each; ``known`` gets each version once it was acknowledged."""
    manifest = make_manifest(fs, STORE, Version(epoch=1), numbers.take)
    version_set = VersionSet(manifest, Version(epoch=1), numbers)
    known.append(version_set.current)
    try:
        for number in range(4):
            file = table(numbers.take())
            edit = VersionEdit(added=((0, file),), log_number=number + 1)
            known.append(version_set.log_and_apply(edit))
        moved = VersionEdit(removed=((0, file.number),), added=((1, file),))
        known.append(version_set.log_and_apply(moved))
    except BaseException:
        manifest.close()
        raise
    return version_set


@MANIFESTS
def test_each_edit_is_found_as_soon_as_it_returned(make_manifest: MakeManifest, fs: FaultyFileSystem) -> None:
    """The state that is read back is the one after the last edit."""
    known: list[Version] = []
    numbers = FileNumbers(1)
    version_set = life(make_manifest, fs, known, numbers)
    found = read(fs.path)
    assert shape(known[-1]) == shape(found)
    assert (known[-1].log_number, known[-1].epoch) == (found.log_number, found.epoch)
    assert 1 == len([name for name in fs.list_directory() if name.startswith("MANIFEST")])
    version_set.close()
    version_set.close()


@MANIFESTS
def test_a_number_that_was_used_is_never_given_out_again(make_manifest: MakeManifest, fs: FaultyFileSystem) -> None:
    """The next file number that is read back is above every number in use, those of manifests included."""
    numbers = FileNumbers(1)
    manifest = make_manifest(fs, STORE, Version(), numbers.take)
    version_set = VersionSet(manifest, Version(), numbers)
    for _ in range(5):
        number = numbers.take()
        version_set.log_and_apply(VersionEdit(added=((0, table(number)),)))
        assert read(fs.path).next_file_number > max(number, manifest.number)
    version_set.close()


@MANIFESTS
def test_a_death_at_any_operation_leaves_the_old_state_or_the_new(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Killed at each operation in turn: what is found was acknowledged last, or is the edit under way."""
    complete: list[Version] = []
    for at in count():
        path = tmp_path / str(at)
        (path / TMP_DIRECTORY).mkdir(parents=True)
        plan = FaultPlan(at=at)
        fs = plan.open_file_system(str(path))
        known: list[Version] = []
        try:
            life(make_manifest, fs, known, FileNumbers(1)).close()
        except Killed:
            plan.give_back()
        else:
            fs.shut()
        if not plan.killed:
            complete = known
            break
        if known:
            found = shape(read(str(path)))
            assert found in [shape(version) for version in expected_after(known)], plan.operations[-1]
    assert 20 < at
    assert 6 == len(complete)


def expected_after(known: list[Version]) -> list[Version]:
    """The last acknowledged version, and the one that the next edit leads to."""
    last = known[-1]
    numbers = [number for _, number in shape(last)]
    following = max(numbers, default=0)
    candidates = [last]
    for number in range(following, following + 4):
        edits = [VersionEdit(added=((0, table(number)),))]
        edits += [VersionEdit(removed=((0, n),), added=((1, table(n)),)) for n in numbers]
        for edit in edits:
            try:
                candidates.append(last.apply(edit))
            except CorruptionError:
                continue
    return candidates


@MANIFESTS
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("count_of_failures", [1, 3])
def test_an_error_at_any_operation_leaves_a_state_that_was_acknowledged_or_asked_for(
    make_manifest: MakeManifest, tmp_path: Path, error: int, count_of_failures: int
) -> None:
    """A failed edit may be there or not; edits after it, made on the state without it, are there and nothing else."""
    for at in count():
        path = tmp_path / str(at)
        (path / TMP_DIRECTORY).mkdir(parents=True)
        plan = FaultPlan(at=None)
        fs = plan.open_file_system(str(path))
        numbers = FileNumbers(1)
        version_set = VersionSet(make_manifest(fs, STORE, Version(), numbers.take), Version(), numbers)
        first = table(numbers.take())
        version_set.log_and_apply(VersionEdit(added=((0, first),)))
        plan.operations.clear()
        plan.at, plan.count, plan.error = at, count_of_failures, error
        moved = VersionEdit(removed=((0, first.number),), added=((1, first),))
        before = shape(version_set.current)
        try:
            after = shape(version_set.log_and_apply(moved))
        except StorageError as raised:
            assert error == raised.errno
            assert raised.filename
            assert before == shape(version_set.current)
            assert shape(read(str(path))) in [before, [(1, first.number)]], plan.operations
        else:
            assert after == shape(read(str(path)))
        reached, seen = plan.reached, plan.operations[-1:]
        plan.at = None
        # The same work again, as a compaction that is tried again: it must fit whatever the failed edit left.
        if before == shape(version_set.current):
            version_set.log_and_apply(moved)
        version_set.log_and_apply(VersionEdit(added=((0, table(numbers.take())),)))
        assert shape(version_set.current) == shape(read(str(path))), seen
        assert read(str(path)).next_file_number >= numbers.next - 1
        version_set.close()
        fs.shut()
        assert set() == plan.descriptors
        if not reached:
            break
    assert 2 < at


@MANIFESTS
def test_a_manifest_that_cannot_be_begun_gives_its_descriptors_back(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    """Each operation of the beginning fails once."""
    (tmp_path / TMP_DIRECTORY).mkdir()
    for at in count():
        plan = FaultPlan(at=at, error=errno.EIO)
        fs = plan.open_file_system(str(tmp_path))
        numbers = FileNumbers(1000 * at + 1)
        try:
            make_manifest(fs, STORE, Version(), numbers.take).close()
        except StorageError:
            assert plan.reached
        fs.shut()
        assert set() == plan.descriptors
        if not plan.reached:
            break
    assert 5 < at


def test_a_log_manifest_is_rolled_when_it_has_grown(fs: FaultyFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's size stays in proportion to the version, and the old file is removed."""
    monkeypatch.setattr("lsmproc.storage.manifest._ROLL_MINIMUM_BYTES", 500)
    numbers = FileNumbers(1)
    manifest = LogManifest(fs, STORE, Version(), numbers.take)
    version_set = VersionSet(manifest, Version(), numbers)
    names = set()
    for _ in range(60):
        file = table(numbers.take())
        version_set.log_and_apply(VersionEdit(added=((0, file),)))
        version_set.log_and_apply(VersionEdit(removed=((0, file.number),)))
        live = [name for name in fs.list_directory() if name.startswith("MANIFEST")]
        assert 1 == len(live)
        assert (Path(fs.path) / live[0]).stat().st_size < 1500
        names.add(live[0])
        assert [] == shape(read(fs.path))
    assert 5 < len(names)
    version_set.close()


def test_every_changed_byte_of_a_manifest_is_an_error_or_unused(fs: FaultyFileSystem, tmp_path: Path) -> None:
    """Flipped bytes of the manifest and of CURRENT never give another state, and the error names the file."""
    version_set = life(LogManifest, fs, known := [], FileNumbers(1))
    version_set.close()
    expected = shape(known[-1])
    names = ["CURRENT", *(name for name in fs.list_directory() if name.startswith("MANIFEST"))]
    for name in names:
        whole = (tmp_path / name).read_bytes()
        silent = 0
        for position in range(len(whole)):
            for change in (0xFF, 0x01):
                changed = bytearray(whole)
                changed[position] ^= change
                (tmp_path / name).write_bytes(changed)
                try:
                    found = shape(read(fs.path))
                except CorruptionError as error:
                    assert error.file == name
                except FileNotFoundError:
                    raise AssertionError(position) from None
                else:
                    assert expected == found
                    silent += 1
        (tmp_path / name).write_bytes(whole)
        # Only the last promise, which covers everything but itself, and one byte of CURRENT's line are of no use.
        assert silent <= 2 * 60


def test_a_manifest_cut_at_any_length_gives_a_state_that_was_true_or_an_error(
    fs: FaultyFileSystem, tmp_path: Path
) -> None:
    """A torn last edit is the state before it; nothing at all is an error that names the file."""
    version_set = life(LogManifest, fs, known := [], FileNumbers(1))
    version_set.close()
    (name,) = [name for name in fs.list_directory() if name.startswith("MANIFEST")]
    whole = (tmp_path / name).read_bytes()
    shapes = [shape(version) for version in known]
    seen = []
    for size in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:size])
        try:
            seen.append(shapes.index(shape(read(fs.path))))
        except CorruptionError as error:
            assert error.file == name
            assert [] == seen
    assert sorted(seen) == seen
    assert len(known) - 1 == seen[-1]


@pytest.mark.parametrize(
    "text",
    [b"", b"MANIFEST-000001", b"MANIFEST-000001 00000000\n", b"../../etc/passwd 12345678\n", b"\xff" * 40, bytes(30)],
)
def test_a_damaged_current_is_corruption(fs: FaultyFileSystem, tmp_path: Path, text: bytes) -> None:
    """It never leads to an empty store or to another file."""
    life(LogManifest, fs, [], FileNumbers(1)).close()
    (tmp_path / "CURRENT").write_bytes(text)
    with pytest.raises(CorruptionError) as caught:
        read(fs.path)
    assert "CURRENT" == caught.value.file


def test_a_manifest_under_another_number_is_corruption(fs: FaultyFileSystem, tmp_path: Path) -> None:
    """Two manifests that were swapped are found out."""
    life(LogManifest, fs, [], FileNumbers(1)).close()
    (name,) = [name for name in fs.list_directory() if name.startswith("MANIFEST")]
    other = tmp_path / "other"
    (other / TMP_DIRECTORY).mkdir(parents=True)
    fs2 = QuickFileSystem(str(other))
    LogManifest(fs2, STORE, Version(), FileNumbers(50).take).close()
    fs2.shut()
    (tmp_path / name).write_bytes((other / "MANIFEST-000050").read_bytes())
    with pytest.raises(CorruptionError) as caught:
        read(fs.path)
    assert name == caught.value.file


@MANIFESTS
def test_after_a_doubt_the_next_edit_is_a_whole_state(fs: FaultyFileSystem, make_manifest: MakeManifest) -> None:
    """An edit whose writer never learnt that it was recorded does not count beside what was written after it."""
    numbers = FileNumbers(1)
    manifest = make_manifest(fs, STORE, Version(), numbers.take)
    lost = VersionEdit(added=((0, table(50)),))
    manifest.append(lost, Version().apply(lost))
    manifest.doubt()
    kept = VersionEdit(added=((0, table(51)),))
    manifest.append(kept, Version().apply(kept))
    manifest.close()
    assert [(0, 51)] == shape(read(fs.path))
