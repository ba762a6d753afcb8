"""What tests of followers share: an owner in this process that does its background work inline, and its followers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import lsmproc
from tests.faults.faulty_file_system import QuickFileSystem

# Memtables, tables and levels so small that some hundred records make a tree of several levels.
TINY: dict[str, Any] = {
    "memtable_max_bytes": 4096,
    "sstable_max_bytes": 4096,
    "block_bytes": 256,
    "level_base_bytes": 8192,
    "level_size_multiplier": 2,
    "level0_compaction_trigger": 2,
    "wal_sync": "none",
}

Own = Callable[..., lsmproc.LSMStore]
Follow = Callable[..., lsmproc.Follower]
Die = Callable[[lsmproc.LSMStore], None]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where the store is: in memory if the machine has that, alone in its parent."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as parent:
        yield Path(parent) / "store"


@pytest.fixture
def own(directory: Path) -> Iterator[Own]:
    """Opens the store as its owner, on a file system that does not wait for the disk; it is closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_one(**options: Any) -> lsmproc.LSMStore:
            env = stack.enter_context(lsmproc.Env(background="inline", open_file_system=QuickFileSystem))
            return stack.enter_context(lsmproc.open(directory, env=env, **(TINY | options)))

        yield open_one


@pytest.fixture
def follow(directory: Path) -> Iterator[Follow]:
    """Opens a follower that looks at each read, unless told otherwise; it is closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(lsmproc.open_follower(directory, **({"refresh": "read"} | options)))


@pytest.fixture
def die() -> Die:
    """Ends an owner as SIGKILL does, as far as its directory goes: the lock is free, and nothing was put in order."""

    def let_go(store: lsmproc.LSMStore) -> None:
        store._parts.lock.close()
        store._parts.fs.unlink = lambda name: None  # type: ignore[method-assign] # what is closed later leaves no trace
        store._parts.fs.truncate = lambda fd, size: None  # type: ignore[method-assign]

    return let_go
