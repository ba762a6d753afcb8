"""``lsmproc why``: the reason of a stall, from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A closed store with four runs in level 0."""
    with lsmproc.open(tmp_path / "store", background="inline", level0_compaction_trigger=10) as store:
        for number in range(4):
            store.put(b"k", b"%d" % number)
            store.flush_memtable()
    return tmp_path / "store"


def test_a_closed_store_without_a_backlog_has_no_stall(run: Run, crowded: Path) -> None:
    """By the default settings."""
    done = run("why", crowded)
    assert (0, b"no stall\n", "") == (done.code, done.out, done.err)


def test_a_backlog_beyond_the_trigger_is_told_with_the_exit_code(run: Run, crowded: Path) -> None:
    """By the settings that are given."""
    settings = ("--set", "level0_compaction_trigger=2", "--set", "level0_slowdown_writes_trigger=3")
    settings += ("--set", "level0_stop_writes_trigger=4")
    done = run("why", crowded, *settings)
    assert (1, True) == (done.code, b"level 0 has 4 runs, and writes stop at 4" in done.out)
    tree = json.loads(run("why", crowded, *settings, "--json").out)
    assert ("stop", "level 0 runs") == (tree["state"], tree["findings"][0]["condition"])


def test_no_store_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """As for every command."""
    assert 2 == run("why", tmp_path / "nothing").code
