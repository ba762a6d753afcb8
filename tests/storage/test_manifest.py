"""The order in which a manifest reaches the disk; what all manifests promise is in the contract tests."""

from __future__ import annotations

from pathlib import Path

from lsmproc.formats.file_names import TMP_DIRECTORY
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.storage.manifest import LogManifest, publish_current
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers
from tests.faults.faulty_file_system import FaultPlan


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
    publish_current(fs, 5)
    fs.shut()
    assert (tmp_path / "CURRENT").read_bytes().startswith(b"MANIFEST-000005 ")
