"""Settings that change while the store is open: what counts at once, what is refused, and with which remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.config import LSMConfig, OptionChange

OpenStore = Callable[..., lsmproc.LSMStore]
Eventually = Callable[..., None]

LIVE = [field.name for field in fields(LSMConfig) if field.metadata["option"].live]
FIXED = [field.name for field in fields(LSMConfig) if not field.metadata["option"].live]


def fill(db: lsmproc.LSMStore, count: int, size: int = 50) -> None:
    """Put records that no other call puts."""
    for number in range(count):
        db.put(b"%d/%06d" % (db.stats().sequence, number), b"v" * size)


def test_what_changed_is_returned_recorded_and_told_of(open_store: OpenStore) -> None:
    """What had that value already has not changed; the next opening finds what was in force last."""
    with open_store() as db:
        changed = db.set_options(memtable_max_bytes="4MiB", level0_compaction_trigger=6, wal_sync="every_write")
        assert (
            OptionChange("memtable_max_bytes", '"16MiB"', '"4MiB"'),
            OptionChange("wal_sync", '"interval"', '"every_write"'),
        ) == changed
        assert (4 << 20, "every_write", True) == (
            db.config.memtable_max_bytes,
            db.config.wal_sync,
            db.config.wal_flush_every_write,
        )
        assert () == db.set_options(memtable_max_bytes=4 << 20)
        assert () == db.set_options()
    with open_store(memtable_max_bytes="4MiB", wal_sync="every_write") as db:
        assert () == db.option_changes


def test_all_or_nothing_with_every_problem_at_once(open_store: OpenStore) -> None:
    """Unknown, fixed and impossible; what would have been fine did not happen either."""
    with open_store() as db:
        before = db.config
        with pytest.raises(lsmproc.ConfigError) as caught:
            db.set_options(memtable_max_byte=1, wal="mapped", read_only=True, compression="lz5", block_bytes=8192)
        unknown, fixed, mode, value = caught.value.problems
        assert "unknown setting 'memtable_max_byte': did you mean 'memtable_max_bytes'?" == unknown
        assert "wal is fixed while the store is open: close the store and open it with wal=..." == fixed
        assert mode.startswith("read_only is fixed while the store is open: close the store and")
        assert value.startswith("compression = 'lz5'")
        with pytest.raises(lsmproc.ConfigError, match="must be above level0_slowdown_writes_trigger"):
            db.set_options(level0_stop_writes_trigger=8, block_bytes=8192)
        assert before == db.config


@pytest.mark.parametrize("name", FIXED)
def test_every_fixed_setting_says_what_to_do_instead(open_store: OpenStore, name: str) -> None:
    """A refusal without a remedy sends people to the sources."""
    with open_store() as db, pytest.raises(lsmproc.ConfigError, match=rf"{name} is fixed while the store is open: \w+"):
        db.set_options(**{name: "x"})


@pytest.mark.parametrize("name", LIVE)
def test_every_live_setting_can_be_given_its_own_value(open_store: OpenStore, name: str) -> None:
    """Each has a way to where it counts."""
    with open_store() as db:
        assert () == db.set_options(**{name: getattr(db.config, name)})


def test_a_smaller_memtable_counts_from_the_next_one_on(open_store: OpenStore) -> None:
    """The one that is being filled keeps its size."""
    with open_store(
        memtable_max_bytes=20_000,
        level0_compaction_trigger=50,
        level0_slowdown_writes_trigger=60,
        level0_stop_writes_trigger=90,
    ) as db:
        db.set_options(memtable_max_bytes=2_000)
        fill(db, 300)
        sizes = [file.entries for file in reversed(db.live_files())]
        assert len(sizes) > 3
        assert sizes[0] > 5 * max(sizes[1:])


def test_new_tables_are_written_with_the_new_options(open_store: OpenStore) -> None:
    """Filters, codec and block size of the next flush."""
    with open_store() as db:
        db.set_options(filter="none", compression="none", block_bytes=256)
        fill(db, 100)
        db.flush_memtable()
        (file,) = db._parts.tree.version.levels[0]
        reader = db._parts.tables.reader(file)
        assert reader.block_count > 10
        assert 1 == reader.filter[1]  # the one word of a filter that says yes to all


def test_triggers_count_at_once(open_store: OpenStore) -> None:
    """Level 0 that was fine is merged, and a stall begins and ends, without a flush in between."""
    with open_store(
        level0_compaction_trigger=50, level0_slowdown_writes_trigger=60, level0_stop_writes_trigger=90
    ) as db:
        for _ in range(4):
            fill(db, 10)
            db.flush_memtable()
        with db.background_paused():
            db.set_options(level0_compaction_trigger=2, level0_slowdown_writes_trigger=3, level0_stop_writes_trigger=4)
            assert "stop" == db.stats().stall.state
            db.set_options(level0_slowdown_writes_trigger=20, level0_stop_writes_trigger=40)
            assert "normal" == db.stats().stall.state
        db.wait_idle(20)
        assert 0 == len(db._parts.tree.version.levels[0])


def test_caches_shrink_and_grow_at_once(open_store: OpenStore) -> None:
    """What no longer fits goes."""
    with open_store() as db:
        fill(db, 2000)
        db.flush_memtable()
        assert 2000 == len(list(db.range()))
        db.set_options(block_cache_bytes="16KiB", row_cache_bytes=0, max_open_files=16)
        assert db.stats().block_cache.bytes <= 16 << 10
        assert (16, 0) == (db.env.open_files.capacity, db.env.row_budget.capacity_bytes)


def test_settings_of_a_shared_env_are_changed_there(open_store: OpenStore) -> None:
    """One store does not change the workers of the others, and is told where that is done."""
    with lsmproc.Env(background="inline") as env:
        with open_store(env=env) as db:
            with pytest.raises(lsmproc.ConfigError, match=r"db.env.set_options\(flush_workers=...\)"):
                db.set_options(flush_workers=3)
            env.set_options(flush_workers=3, rate_limit_bytes_per_sec="1MiB/s")
            assert (3, 1 << 20) == (env.flush_workers, env.rate_limiter.bytes_per_second)
            with pytest.raises(lsmproc.ConfigError, match="belongs to a store"):
                env.set_options(wal_sync="none")
            with pytest.raises(lsmproc.ConfigError, match=r"belongs to a store.*; worker_niceness = 99"):
                env.set_options(wal_sync="none", worker_niceness=99)
            with pytest.raises(lsmproc.ConfigError, match="make another Env"):
                env.set_options(background="thread")


def test_the_rate_set_at_the_limiter_is_what_the_env_tells(open_store: OpenStore) -> None:
    """Two ways to one setting agree."""
    with open_store() as db:
        db.env.rate_limiter.set_rate(5 << 20)
        assert 5 << 20 == db.env.settings.rate_limit_bytes_per_sec
        changed = db.set_options(rate_limit_bytes_per_sec=None)
        assert ('"5MiB/s"', '"unlimited"') == (changed[0].before, changed[0].after)
        assert db.env.rate_limiter.bytes_per_second is None


def test_pauses_are_counted_and_one_too_few_is_a_mistake(open_store: OpenStore, tiny: dict[str, Any]) -> None:
    """Two parts of a service may pause without knowing of each other."""
    with open_store(**{**tiny, "level0_slowdown_writes_trigger": 100, "level0_stop_writes_trigger": 200}) as db:
        db.pause_background()
        db.pause_background()
        fill(db, 300)
        waiting = len(db._parts.tree.version.levels[0])
        assert waiting > 4
        db.resume_background()
        db.wait_idle(20)
        assert waiting == len(db._parts.tree.version.levels[0])
        db.resume_background()
        db.wait_idle(20)
        assert len(db._parts.tree.version.levels[0]) < 2
        with pytest.raises(RuntimeError, match="not paused"):
            db.resume_background()


def test_a_closed_store_takes_no_settings(open_store: OpenStore) -> None:
    """As every other call."""
    db = open_store()
    db.close()
    with pytest.raises(lsmproc.ClosedError):
        db.set_options(block_bytes=8192)


def test_workers_come_and_go_under_load_and_no_job_is_lost(
    open_store: OpenStore, tiny: dict[str, Any], eventually: Eventually
) -> None:
    """Up and down again in threads while the store is written to: everything is there and the tree is in order."""
    with open_store(**tiny | {"background": "thread", "compaction_workers": 1}) as db:
        written = {}
        for number in range(1500):
            key, value = b"%05d" % (number * 7919 % 1500), b"%d" % number * 20
            db.put(key, value)
            written[key] = value
            if number % 100 == 0:
                db.env.set_workers(flush=1 + number // 100 % 3, compaction=1 + number // 100 % 4)
        db.env.set_workers(flush=1, compaction=1)
        db.flush_memtable(timeout=20)
        db.wait_idle(20)
        assert written == dict(db.range())
        eventually(lambda: len(db.stats().workers) <= 2, what="surplus workers leave")
        with pytest.raises(lsmproc.ConfigError, match="compaction_workers = 0"):
            db.env.set_workers(compaction=0)


def test_options_change_in_any_thread_while_others_write(open_store: OpenStore, tmp_path: Path) -> None:
    """A change is one step for whoever writes: nothing is lost and nothing is torn."""
    import threading

    with open_store(background="thread", memtable_max_bytes=4096) as db:

        def change() -> None:
            for number in range(30):
                db.set_options(memtable_max_bytes=2048 + 512 * (number % 7), level0_compaction_trigger=2 + number % 3)

        thread = threading.Thread(target=change)
        thread.start()
        for number in range(2000):
            db.put(b"%05d" % number, b"v" * 40)
        thread.join(20)
        assert not thread.is_alive()
        assert 2000 == sum(1 for _ in db)


def test_a_block_in_which_compactions_are_paused_may_close_the_store(open_store: OpenStore) -> None:
    """Its end raises nothing, and hides nothing that the block raised."""
    with open_store() as db, db.background_paused():
        db.close()
    db = open_store()
    with pytest.raises(KeyError), db.background_paused():
        db.close()
        raise KeyError
