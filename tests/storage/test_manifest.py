"""The order in which a manifest reaches the disk; what all manifests promise is in the contract tests."""

from __future__ import annotations

import errno
from itertools import count
from pathlib import Path

import pytest

from lsmproc.errors import StorageError
from lsmproc.formats.file_names import TMP_DIRECTORY, manifest_name
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.storage.manifest import LogManifest, SnapshotManifest, read_manifest
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers
from tests.faults.faulty_file_system import WRITES, FaultPlan


def test_current_is_renamed_only_between_syncs_of_file_and_directory(tmp_path: Path) -> None:
    """The bytes and names it stands for are safe before, its own name is safe after, and then the old file goes."""
    plan = FaultPlan()
    fs = plan.open_file_system(str(tmp_path))
    fs.make_directory(TMP_DIRECTORY)
    manifest = LogManifest(fs, b"u" * 16, Version(), FileNumbers(1).take)
    plan.operations.clear()
    manifest._whole = False
    manifest.append(VersionEdit(), Version())
    manifest.close()
    fs.shut()
    assert [
        "create MANIFEST-000002", "pwrite MANIFEST-000002", "pwrite MANIFEST-000002", "fdatasync MANIFEST-000002",
        "pwrite MANIFEST-000002", "unlink tmp/CURRENT-2", "create tmp/CURRENT-2", "pwrite tmp/CURRENT-2",
        "fdatasync tmp/CURRENT-2", "sync_directory .", "rename CURRENT", "sync_directory .", "unlink MANIFEST-000001",
    ] == plan.operations  # fmt: skip


def test_an_edit_is_written_and_synced_before_its_promise(tmp_path: Path) -> None:
    """One sync for each edit."""
    plan = FaultPlan()
    fs = plan.open_file_system(str(tmp_path))
    fs.make_directory(TMP_DIRECTORY)
    manifest = LogManifest(fs, b"u" * 16, Version(), FileNumbers(1).take)
    plan.operations.clear()
    manifest.append(VersionEdit(), Version())
    manifest.close()
    fs.shut()
    name = "MANIFEST-000001"
    assert [f"pwrite {name}", f"fdatasync {name}", f"pwrite {name}"] == plan.operations


def test_a_temporary_left_by_a_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    """Power loss may take a manifest and leave the file that was to name it."""
    (tmp_path / TMP_DIRECTORY).mkdir()
    (tmp_path / TMP_DIRECTORY / "CURRENT-5").write_bytes(b"junk")
    fs = FaultPlan().open_file_system(str(tmp_path))
    LogManifest(fs, b"u" * 16, Version(), FileNumbers(5).take).close()
    fs.shut()
    assert (tmp_path / "CURRENT").read_bytes().startswith(b"MANIFEST-000005 ")


@pytest.mark.parametrize("make", [LogManifest, SnapshotManifest])
def test_failed_rolls_leave_nothing_behind(tmp_path: Path, make: type[LogManifest | SnapshotManifest]) -> None:
    """Each operation of a roll fails in turn; afterwards one manifest is there, the one that CURRENT names."""
    plan = FaultPlan()
    fs = plan.open_file_system(str(tmp_path))
    fs.make_directory(TMP_DIRECTORY)
    manifest = make(fs, b"u" * 16, Version(), FileNumbers(1).take)
    plan.error = errno.ENOSPC
    for at in count():
        live = manifest.number
        plan.kinds = WRITES - {"unlink"}
        plan.operations.clear()
        plan.at = at
        if isinstance(manifest, LogManifest):
            manifest._whole = False
        try:
            manifest.append(VersionEdit(), Version())
        except StorageError:
            assert live == manifest.number
            assert (tmp_path / manifest_name(live)).exists()
            before_rename = not any(each.startswith(("sync_directory", "rename")) for each in plan.operations)
            if before_rename:
                assert [manifest_name(live)] == [path.name for path in tmp_path.glob("MANIFEST-*")]
            assert read_manifest(fs).number == live or not before_rename
        else:
            if not plan.reached:
                break
    plan.at = None
    assert at > 8
    assert [manifest_name(manifest.number)] == [path.name for path in tmp_path.glob("MANIFEST-*")]
    assert manifest.number == read_manifest(fs).number
    assert [] == list((tmp_path / TMP_DIRECTORY).iterdir())
    manifest.close()
    fs.shut()


@pytest.mark.parametrize("make", [LogManifest, SnapshotManifest])
def test_an_edit_is_recorded_even_if_the_replaced_manifest_is_gone(
    tmp_path: Path, make: type[LogManifest | SnapshotManifest]
) -> None:
    """The edit is durable before anything is removed, so that is no time to raise."""
    fs = FaultPlan().open_file_system(str(tmp_path))
    fs.make_directory(TMP_DIRECTORY)
    manifest = make(fs, b"u" * 16, Version(), FileNumbers(1).take)
    (tmp_path / manifest_name(1)).unlink()
    if isinstance(manifest, LogManifest):
        manifest.replace(Version())
    else:
        manifest.append(VersionEdit(), Version())
    assert 2 == manifest.number == read_manifest(fs).number
    manifest.close()
    fs.shut()
