"""One owner for each directory, however it is named, and a lock that is gone with its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.errors import LockedError, StorageError
from lsmproc.storage.directory_lock import DirectoryLock, owner_of
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.lock_holder import is_running
from tests.faults.faulty_file_system import FaultPlan

HOLDER = """
import sys
from lsmproc.storage.directory_lock import DirectoryLock
from lsmproc.storage.file_system import PosixFileSystem
lock = DirectoryLock(PosixFileSystem(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[PosixFileSystem]:
    """A directory."""
    fs = PosixFileSystem(str(tmp_path))
    yield fs
    fs.shut()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "held\n" == process.stdout.readline()
    yield process
    process.kill()
    process.communicate(timeout=10)


def test_a_second_owner_in_this_process_is_refused_by_any_path(fs: PosixFileSystem, tmp_path: Path) -> None:
    """The same directory through a symbolic link is the same directory."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    lock = DirectoryLock(fs)
    for path in (tmp_path, link):
        other = PosixFileSystem(str(path))
        with pytest.raises(LockedError, match="has one owner") as caught:
            DirectoryLock(other)
        assert f"pid {__import__('os').getpid()} on" in caught.value.owner
        other.shut()
    lock.close()
    lock.close()
    DirectoryLock(fs).close()


def test_another_process_is_named_and_its_death_frees_the_lock(
    fs: PosixFileSystem, holder: subprocess.Popen[str]
) -> None:
    """SIGKILL leaves nothing to clean up."""
    with pytest.raises(LockedError) as caught:
        DirectoryLock(fs)
    assert caught.value.owner.startswith(f"pid {holder.pid} on ")
    with pytest.raises(LockedError):
        DirectoryLock(fs, wait_seconds=0.05)
    holder.kill()
    DirectoryLock(fs, wait_seconds=5).close()


@pytest.mark.parametrize("text", [b"", b"pid 1", b"[1]", b'{"pid": 1}', b"\xff\xfe", b"{" * 5000])
def test_what_the_lock_file_says_decides_nothing(fs: PosixFileSystem, tmp_path: Path, text: bytes) -> None:
    """A stale or damaged text neither keeps anybody out nor breaks the message."""
    (tmp_path / "LOCK").write_bytes(text)
    assert "" == owner_of(fs)
    lock = DirectoryLock(fs)
    (tmp_path / "LOCK").write_bytes(text)
    with pytest.raises(LockedError, match=rf"by pid {os.getpid()} \(|by another process"):
        DirectoryLock(fs)
    lock.close()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel does not list its locks")
def test_a_reader_is_named_and_not_the_owner_before_it(fs: PosixFileSystem, tmp_path: Path) -> None:
    """It writes nothing into the LOCK file, where the text of an owner that is gone still stands."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.DEVNULL)
    process.wait(20)
    assert owner_of(fs).startswith(f"pid {process.pid} on ")
    reader = DirectoryLock(fs, shared=True)
    with pytest.raises(LockedError, match="which reads it: a store has one owner") as caught:
        DirectoryLock(fs)
    assert caught.value.owner.startswith(f"pid {os.getpid()} (")
    assert "open_follower" in str(caught.value)
    reader.close()
    DirectoryLock(fs).close()


@pytest.mark.parametrize("pid", [0, -1, 1 << 40, 1 << 80])
def test_a_process_that_cannot_be_is_not_running(pid: int) -> None:
    """The number comes from a file."""
    assert not is_running(pid)


def test_a_lock_that_fails_gives_everything_back(tmp_path: Path) -> None:
    """Each operation fails once; whatever happens the next try works."""
    for at in range(4):
        plan = FaultPlan(at=at, error=5)
        fs = plan.open_file_system(str(tmp_path))
        try:
            DirectoryLock(fs).close()
        except StorageError:
            assert plan.reached
        fs.shut()
        assert set() == plan.descriptors
