"""What happens when the background cannot keep up, is paused or is slowed down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import lsmproc

OpenStore = Callable[..., lsmproc.LSMStore]
Eventually = Callable[..., None]

WAIT_SECONDS = 20.0


def test_writes_stop_at_too_many_level0_tables_and_go_on_after_a_merge(
    open_store: OpenStore, eventually: Eventually, tiny: dict[str, Any]
) -> None:
    """The stall has a reason in the stats, and no write is lost in it."""
    triggers = {"level0_slowdown_writes_trigger": 3, "level0_stop_writes_trigger": 4}
    store = open_store(background="thread", **tiny | triggers)
    written: list[bytes] = []

    def write() -> None:
        for number in range(200):
            key = b"%03d" % number
            store.put(key, b"v" * 100)
            written.append(key)

    def stalled() -> tuple[str, str]:
        stall = store.stats().stall
        return stall.state, stall.reason

    writer = threading.Thread(target=write)
    with store.background_paused():
        writer.start()
        eventually(lambda: stalled() == ("stop", "level 0 runs"), WAIT_SECONDS, "writes are not stopped")
        assert len(written) < 200
        assert b"v" * 100 == store.get(written[0])
    writer.join(WAIT_SECONDS)
    assert not writer.is_alive()
    store.wait_idle(WAIT_SECONDS)
    stall = store.stats().stall
    assert "normal" == stall.state
    assert 0 < stall.waits
    assert 0 < stall.waited_seconds
    assert written == list(store)


@pytest.mark.parametrize("background", ["thread", "process"])
def test_a_rate_limit_is_felt_and_changed_while_a_merge_runs(open_store: OpenStore, background: str) -> None:
    """A flush at 1 KiB per second misses its deadline, goes on, and ends as soon as the limit is lifted."""
    store = open_store(background=background, rate_limit_bytes_per_sec=1024, compression="none")
    for number in range(2000):
        store.put(b"%04d" % number, b"v" * 200)
    with pytest.raises(TimeoutError, match="not flushed yet"):
        store.flush_memtable(timeout=0.3)
    with pytest.raises(TimeoutError):
        store.wait_idle(0.05)
    assert 1024 == store.stats().limiter.bytes_per_second
    # At the old rate it would go on for minutes.
    store.env.rate_limiter.set_rate(None)
    store.wait_idle(WAIT_SECONDS)
    assert 1 <= len(store.live_files())
    assert 2000 == len(list(store))


@pytest.mark.parametrize("background", ["inline", "thread", "process"])
def test_close_does_not_wait_for_a_slow_job(open_store: OpenStore, background: str) -> None:
    """The flush is abandoned, its output removed, and the log replayed instead."""
    store = open_store(background="thread" if background == "inline" else background, rate_limit_bytes_per_sec=1024)
    for number in range(1000):
        store.put(b"%04d" % number, bytes(200))
    store.flush_memtable(wait=False)
    began = time.monotonic()
    store.close(timeout=1.0)
    assert WAIT_SECONDS > time.monotonic() - began  # the flush would take minutes
    assert 1000 == len(list(open_store(background=background)))


def test_a_compaction_that_takes_too_long_is_a_timeout(open_store: OpenStore) -> None:
    """And is not undone: it is finished later."""
    store = open_store(background="thread", level0_compaction_trigger=19, compression="none")
    for generation in range(2):
        for number in range(1000):
            store.put(b"%04d" % number, b"%d" % generation * 200)
        store.flush_memtable(timeout=WAIT_SECONDS)
    store.env.rate_limiter.set_rate(1024)
    with pytest.raises(TimeoutError, match="level 0"):
        store.compact_level(0, timeout=0.2)
    store.env.rate_limiter.set_rate(None)
    store.wait_idle(WAIT_SECONDS)
    assert {0} != {table.level for table in store.live_files()}
    assert 0 == store.stats().levels[0].files


def test_a_stall_is_explained_while_it_lasts_and_a_write_may_refuse_it(
    open_store: OpenStore, eventually: Eventually, tiny: dict[str, Any]
) -> None:
    """A write that refuses to wait raises at once, with the reason and the remedy; explain_stall tells the rest."""
    triggers = {"level0_slowdown_writes_trigger": 3, "level0_stop_writes_trigger": 4}
    store = open_store(background="thread", **tiny | triggers)
    assert not store.explain_stall().stalled
    with store.background_paused():
        refused: lsmproc.WriteStallTimeout | None = None
        for number in range(200):
            try:
                store.put(b"%03d" % number, b"v" * 100, timeout=0)
            except lsmproc.WriteStallTimeout as error:
                refused = error
                if "stopped" in str(error):
                    break
            eventually(lambda: not store.stats().immutable_memtables.count, WAIT_SECONDS, "flushes")
        assert refused is not None
        assert "stopped by level 0 runs: 4 (slowdown at 3, stop at 4)" in str(refused)
        assert "compactions are paused: call resume_background()" in str(refused)
        assert "compaction_workers" not in str(refused), "more workers do not help"
        began = time.monotonic()
        with pytest.raises(lsmproc.WriteStallTimeout, match="level 0 runs"):
            store.put(b"k", b"v", timeout=0.05)
        with pytest.raises(lsmproc.WriteStallTimeout, match="level 0 runs"):
            store.delete(b"k", timeout=0)
        with pytest.raises(lsmproc.WriteStallTimeout, match="level 0 runs"):
            with store.write_batch(timeout=0) as batch:
                batch.delete(b"k")
        assert time.monotonic() - began < 5.0
        explanation = store.explain_stall()
        assert ("stop", True) == (explanation.state, explanation.stalled)
        assert ["level 0 runs", "compactions paused"] == [finding.condition for finding in explanation.findings]
        assert "level 0 has 4 runs, and writes stop at 4" in str(explanation)
        assert "undo with resume_background()" in str(explanation)
    store.wait_idle(WAIT_SECONDS)
    store.put(b"k", b"v", timeout=0)
    assert not store.explain_stall().stalled


def test_a_limiter_that_stalls_writes_is_named(
    open_store: OpenStore, eventually: Eventually, tiny: dict[str, Any]
) -> None:
    """The flush that would relieve them waits for its bytes; a higher rate ends it."""
    options = tiny | {"max_immutable_memtables": 2, "compression": "none"}
    store = open_store(background="thread", rate_limit_bytes_per_sec=1024, **options)
    with pytest.raises(lsmproc.WriteStallTimeout, match="raise max_immutable_memtables"):
        for number in range(200):
            store.put(b"%03d" % number, b"v" * 100, timeout=0)
    eventually(lambda: any(each.worker for each in store.explain_stall().relief), WAIT_SECONDS, "no flush runs")
    explanation = store.explain_stall()
    assert ["immutable memtables", "rate limit"] == [finding.condition for finding in explanation.findings]
    assert {"flush"} == {relief.kind for relief in explanation.relief}
    assert "rate_limit_bytes_per_sec" in [remedy.setting for remedy in explanation.remedies]
    store.env.rate_limiter.set_rate(None)
    eventually(lambda: not store.explain_stall().stalled, WAIT_SECONDS, "still stalled")
