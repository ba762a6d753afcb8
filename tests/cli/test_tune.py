"""``lsmproc tune``: real stores, judged from outside, and better for it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lsmproc

Run = Callable[..., Any]
Eventually = Callable[..., None]

COUNT = 12_000


def _read_at_random(path: Path, config: lsmproc.LSMConfig | None = None) -> float:
    """Read a store of 1.4 MiB until its page tells of it; the hit ratio of its blocks."""
    small: dict[str, Any] = {"background": "thread", "block_cache_bytes": 64 << 10, "row_cache_bytes": 0}
    chance = random.Random(7)
    with lsmproc.LSMStore(config) if config else lsmproc.open(path, **small) as store:
        if store.get(b"%08d" % 0) is None:
            for number in range(COUNT):
                store.put(b"%08d" % number, chance.randbytes(100))
            store.compact_range()
        for _ in range(3 * COUNT):
            store.get(b"%08d" % chance.randrange(COUNT))
        until = time.monotonic() + 30.0
        while lsmproc.read_status(path).page.get("state") != "open":
            assert time.monotonic() < until, "no page tells of the reads"
            store.get(b"%08d" % chance.randrange(COUNT))
        for _ in range(3 * COUNT):
            store.get(b"%08d" % chance.randrange(COUNT))
        return store.stats().block_cache.hit_ratio


def test_the_advice_followed_removes_the_finding(run: Run, tmp_path: Path) -> None:
    """A cache that is too small for its reads: found, changed by the written profile, and gone from the findings."""
    before = _read_at_random(tmp_path / "store")
    done = run("tune", tmp_path / "store", "--json", "--write", tmp_path / "tuned.toml")
    (finding,) = [each for each in json.loads(done.out)["findings"] if each["rule"] == "cache-misses"]
    assert ("block_cache_bytes", '"64KiB"') == (finding["changes"][0]["setting"], finding["changes"][0]["from"])
    tuned = lsmproc.LSMConfig.from_toml(tmp_path / "tuned.toml", data_dir=tmp_path / "store")
    after = _read_at_random(tmp_path / "store", tuned)
    assert before < 0.5
    assert after > 0.8
    again = json.loads(run("tune", tmp_path / "store", "--json").out)
    assert "cache-misses" not in {each["rule"] for each in again["findings"]}


def test_a_store_that_is_open_is_judged_without_its_lock(run: Run, tmp_path: Path, eventually: Eventually) -> None:
    """By its page, its LOG and its recorded options; not a byte of it is changed by that."""
    small: dict[str, Any] = {"memtable_max_bytes": 16 << 10, "level_base_bytes": 1 << 20}
    with lsmproc.open(tmp_path / "store", background="thread", **small) as store:
        for number in range(5000):
            store.put(b"%08d" % number, b"v" * 100)
        store.wait_idle(20.0)

        def found() -> bool:
            done = run("tune", tmp_path / "store", "--window", "1m")
            return b'memtable_max_bytes from "16KiB" to ' in done.out

        eventually(found, what="small flushes are not told of")


def test_a_file_that_exists_is_not_written_over(run: Run, tmp_path: Path) -> None:
    """Somebody may rely on it."""
    with lsmproc.open(tmp_path / "store", background="inline", event_log="on") as store:
        store.put(b"k", b"v")
    (tmp_path / "app.toml").write_text("mine")
    done = run("tune", tmp_path / "store", "--write", tmp_path / "app.toml")
    assert (2, "mine") == (done.code, (tmp_path / "app.toml").read_text())


def test_a_store_that_has_left_nothing_is_told_so(run: Run, tmp_path: Path) -> None:
    """That is not the same as nothing to say."""
    with lsmproc.open(tmp_path / "store", background="inline") as store:
        store.put(b"k", b"v")
    done = run("tune", tmp_path / "store")
    assert (2, True) == (done.code, "neither figures nor events" in done.err)


def test_a_window_without_sense_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """As is a path without a store."""
    assert 2 == run("tune", tmp_path, "--window", "soon").code
    assert 2 == run("tune", tmp_path / "nothing").code
