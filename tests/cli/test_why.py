"""``lsmproc why``: the reason of a stall, from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]
Eventually = Callable[..., None]


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
    assert (0, "no stall", "") == (done.code, done.out.decode().splitlines()[-1], done.err)
    assert done.out.startswith(b"not open")
    assert b"; what its next owner will find:\n" in done.out


def test_a_backlog_beyond_the_trigger_is_told_with_the_exit_code(run: Run, crowded: Path) -> None:
    """By the settings that are given."""
    settings = ("--set", "level0_compaction_trigger=2", "--set", "level0_slowdown_writes_trigger=3")
    settings += ("--set", "level0_stop_writes_trigger=4")
    done = run("why", crowded, *settings)
    assert (1, True) == (done.code, b"level 0 has 4 runs, and writes stop at 4" in done.out)
    tree = json.loads(run("why", crowded, *settings, "--json").out)
    assert ("stop", "level 0 runs") == (tree["state"], tree["findings"][0]["condition"])
    assert done.out.decode().splitlines()[0] == tree["text"]


def test_no_store_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """As for every command."""
    assert 2 == run("why", tmp_path / "nothing").code


def test_a_running_store_is_explained_from_its_page(run: Run, tmp_path: Path, eventually: Eventually) -> None:
    """From outside, without its lock: the reason, and who is in the way."""
    triggers: dict[str, Any] = {"level0_slowdown_writes_trigger": 3, "level0_stop_writes_trigger": 4}
    small: dict[str, Any] = {"memtable_max_bytes": 2048, "level0_compaction_trigger": 2}
    with lsmproc.open(tmp_path / "store", background="thread", **small, **triggers) as store:
        with store.background_paused():
            for number in range(4):
                store.put(b"k", b"%d" % number)
                store.flush_memtable()
            with pytest.raises(lsmproc.WriteStallTimeout):
                store.put(b"k", b"v", timeout=0)
            eventually(lambda: run("why", store.path).code == 1, what="the page tells no stall")
            done = run("why", store.path)
            lines = done.out.decode().splitlines()
            assert f"running, pid {os.getpid()}" == lines[0]
            assert "level 0 has 4 runs, and writes stop at 4" in lines
            assert any(line.startswith("change: pause_background() = undo with resume_background()") for line in lines)
            tree = json.loads(run("why", store.path, "--json").out)
            assert ("running", "stop") == (tree["owner"], tree["state"])
        store.wait_idle(20.0)


def test_a_store_that_is_open_without_a_page_is_told_so(run: Run, tmp_path: Path) -> None:
    """Its backlog is known to its owner only."""
    with lsmproc.open(tmp_path / "store", background="inline"):
        done = run("why", tmp_path / "store")
    assert (2, True) == (done.code, "explain_stall()" in done.err)
