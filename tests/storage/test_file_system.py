"""The real disk behind the seam: rights, links, descriptors, and errors that name the file."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.errors import NoSpaceError, StorageError
from lsmproc.storage.file_system import (
    CREATE_NEW,
    READ,
    READ_WRITE,
    PosixFileSystem,
    make_store_directory,
    storage_error,
)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """A directory."""
    fs = PosixFileSystem(str(tmp_path))
    yield fs
    fs.shut()
    fs.shut()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_files_and_directories_are_the_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """0600 and 0700."""
    before = os.umask(umask)
    try:
        make_store_directory(str(tmp_path / "a" / "b"))
        fs = PosixFileSystem(str(tmp_path / "a" / "b"))
        fs.close(fs.open("file", CREATE_NEW))
        fs.make_directory("tmp")
        fs.make_directory("tmp")
        fs.shut()
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE((tmp_path / "a/b/file").stat().st_mode)
    for directory in ("a", "a/b"):
        assert 0o700 == stat.S_IMODE((tmp_path / directory).stat().st_mode)
    assert 0 == stat.S_IMODE((tmp_path / "a/b/tmp").stat().st_mode) & 0o077


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that were synced, in order, with what they held."""
    names: list[str] = []
    sync = PosixFileSystem.sync_directory

    def record(fs: PosixFileSystem, name: str = ".") -> None:
        names.append(f"{os.path.basename(os.path.abspath(fs.path))}: {' '.join(fs.list_directory(name))}")
        sync(fs, name)

    monkeypatch.setattr(PosixFileSystem, "sync_directory", record)
    return names


def test_each_new_directory_is_synced_in_its_parent_before_the_next_is_made(tmp_path: Path, synced: list[str]) -> None:
    """No name on the way to the store can be lost; one that an owner left empty when it died is synced again."""
    (tmp_path / "top" / "left").mkdir(parents=True)
    make_store_directory(str(tmp_path / "top/left/a/b"))
    assert ["top: left", "left: a", "a: b"] == synced
    synced.clear()
    make_store_directory(str(tmp_path / "top/left/a/b"))
    assert ["a: b"] == synced
    synced.clear()
    (tmp_path / "top/left/a/b/CURRENT").touch()
    make_store_directory(str(tmp_path / "top/left/a/b"))
    assert [] == synced


def test_a_relative_path_is_made_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    """With or without a slash at the end."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "file").touch()
    make_store_directory("store/")
    make_store_directory("other/store")
    assert ["here: file store", "here: file other store", "other: store"] == synced


def test_a_parent_that_cannot_be_synced_is_in_the_way_of_a_new_directory_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that was given to the store may lie in one that is not the store's to open."""

    def refuse(fs: PosixFileSystem, name: str = ".") -> None:
        raise StorageError(errno.EACCES, "refused", fs.path + name)

    monkeypatch.setattr(PosixFileSystem, "sync_directory", refuse)
    (tmp_path / "given").mkdir()
    make_store_directory(str(tmp_path / "given"))
    with pytest.raises(StorageError):
        make_store_directory(str(tmp_path / "new"))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        make_store_directory(str(tmp_path / "file/store"))
    assert errno.ENOTDIR == caught.value.errno


def test_a_symbolic_link_is_never_followed(fs: PosixFileSystem, tmp_path: Path) -> None:
    """A planted link neither leads out of the directory nor truncates its target."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / "000001.wal").symlink_to(victim)
    for flags in (READ, READ_WRITE):
        with pytest.raises(StorageError) as caught:
            fs.open("000001.wal", flags)
        assert (errno.ELOOP, "000001.wal") == (caught.value.errno, caught.value.filename)
    with pytest.raises(FileExistsError):
        fs.open("000001.wal", CREATE_NEW)
    assert b"untouched" == victim.read_bytes()


def test_missing_files_and_files_in_the_way_are_the_built_in_errors(fs: PosixFileSystem) -> None:
    """Callers tell them from trouble with the disk."""
    for call in (lambda: fs.open("none", READ), lambda: fs.unlink("none"), lambda: fs.rename("none", "x")):
        with pytest.raises(FileNotFoundError):
            call()
    assert [] == fs.list_directory("none")
    fs.close(fs.open("file", CREATE_NEW))
    with pytest.raises(FileExistsError):
        fs.open("file", CREATE_NEW)


def test_descriptors_are_never_those_of_the_standard_streams(fs: PosixFileSystem) -> None:
    """A program that closed its standard error does not print into a table."""
    saved = os.dup(2)
    os.close(2)
    try:
        fd = fs.open("file", CREATE_NEW)
        taken = fd
        fs.close(fd)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert 2 < taken


def test_write_all_goes_on_after_short_writes_and_names_the_file_when_it_cannot(
    fs: PosixFileSystem, tmp_path: Path
) -> None:
    """At a limit in the middle, pwrite takes a part without an error; the rest is refused with one."""
    fd = fs.open("file", CREATE_NEW)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(StorageError) as caught:
            fs.write_all(fd, bytes(10_000), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (errno.EFBIG, "file") == (caught.value.errno, caught.value.filename)
    assert 8192 == (tmp_path / "file").stat().st_size == fs.size(fd)
    fs.close(fd)


def test_a_write_that_takes_nothing_is_an_error_and_not_a_loop(
    fs: PosixFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No disk makes a writer spin for ever."""
    fd = fs.open("file", CREATE_NEW)
    monkeypatch.setattr(fs, "pwrite", lambda *_: 0)
    with pytest.raises(StorageError):
        fs.write_all(fd, b"x", 0)
    fs.close(fd)


def test_calls_on_a_bad_descriptor_are_storage_errors(fs: PosixFileSystem) -> None:
    """Every call but the two of the hot paths."""
    for call in (
        fs.fdatasync,
        fs.size,
        fs.lock,
        fs.close,
        lambda fd: fs.allocate(fd, 1),
        lambda fd: fs.truncate(fd, 1),
    ):
        with pytest.raises(StorageError):
            call(9999)
    with pytest.raises(OSError, match="descriptor"):
        fs.pwrite(9999, b"x", 0)


def test_a_full_disk_has_an_error_of_its_own() -> None:
    """Disk and quota; anything else is a plain StorageError, and what is one already stays."""
    for number, kind in ((errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EIO, StorageError)):
        error = storage_error(OSError(number, "text"), "file")
        assert (kind, number, "file") == (type(error), error.errno, error.filename)
        assert error is storage_error(error, "other")


def test_two_open_files_cannot_both_hold_the_lock(fs: PosixFileSystem) -> None:
    """Also within one process."""
    first, second = fs.open("LOCK", CREATE_NEW), fs.open("LOCK", READ_WRITE)
    assert [True, False] == [fs.lock(first), fs.lock(second)]
    fs.close(first)
    assert fs.lock(second)
    fs.close(second)


def test_allocated_space_reads_as_zeros_and_directories_are_listed_in_order(fs: PosixFileSystem) -> None:
    """What the log relies on."""
    fd = fs.open("b", CREATE_NEW)
    fs.allocate(fd, 5000)
    assert (5000, bytes(5000)) == (fs.size(fd), fs.pread(fd, 9999, 0))
    fs.truncate(fd, 10)
    assert 10 == fs.size(fd)
    fs.fdatasync(fd)
    fs.close(fd)
    fs.close(fs.open("a", CREATE_NEW))
    fs.rename("b", "c")
    fs.sync_directory()
    assert ["a", "c"] == fs.list_directory()
