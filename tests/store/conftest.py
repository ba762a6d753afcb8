"""What tests of the whole store share: stores small enough to flush and merge within a test, and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc

# Memtables, tables and levels so small that some hundred records make a tree of several levels.
TINY: dict[str, Any] = {
    "memtable_max_bytes": 2048,
    "sstable_max_bytes": 2048,
    "block_bytes": 256,
    "level_base_bytes": 4096,
    "level_size_multiplier": 2,
    "level0_compaction_trigger": 2,
    "wal_sync": "none",
}

OpenStore = Callable[..., lsmproc.LSMStore]
RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store below ``tmp_path``, inline unless asked otherwise; closes all of them after the test."""
    opened: list[lsmproc.LSMStore] = []

    def open_one(name: str = "store", **options: Any) -> lsmproc.LSMStore:
        if "env" not in options:
            options = {"background": "inline", **options}
        store = lsmproc.open(tmp_path / name, **options)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Options for a store that flushes and merges all the time."""
    return dict(TINY)


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a Python script to its end, in ``tmp_path``, as the file, the command or the input of an interpreter."""

    def run(body: str, *, way: str = "file", flags: tuple[str, ...] = (), timeout: float = 30.0) -> Any:
        path = tmp_path / "script.py"
        path.write_text(body)
        arguments = {"file": [str(path)], "command": ["-c", body], "standard input": ["-"]}[way]
        package_parent = str(Path(lsmproc.__file__).parents[1])
        return subprocess.run(
            [sys.executable, *flags, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": package_parent},
            input=body if way == "standard input" else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
