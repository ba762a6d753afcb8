"""Level 0 does not wait for deeper work, and what writes stall for goes first: the decisions of an open store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lsmproc
from lsmproc.compaction.compaction import Compaction
from lsmproc.formats.messages import TableOptions
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.maintenance.compaction_schedule import CompactionSchedule
from lsmproc.maintenance.retries import Retries
from lsmproc.protocols import Priority
from lsmproc.storage.version import Version
from lsmproc.workers.inline_background import InlineBackground

Eventually = Callable[..., None]


class Recording(InlineBackground):
    """Keeps compactions from running, and notes what it is asked and told."""

    def __init__(self, env: lsmproc.Env) -> None:
        super().__init__(1, 1, env.rate_limiter)
        self.compactions: list[tuple[Any, Priority, Any]] = []
        self.promoted: list[frozenset[Priority]] = []

    def submit(self, request: Any, priority: Priority, on_reply: Any) -> None:
        if priority is Priority.FLUSH:
            super().submit(request, priority, on_reply)
        else:
            self.compactions.append((request, priority, on_reply))

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        self.promoted.append(priorities)

    def let_go(self) -> None:
        """Run what was kept, and what comes of it."""
        while self.compactions:
            super().submit(*self.compactions.pop(0))


def flush(db: lsmproc.LSMStore, rounds: int) -> None:
    """So many more tables of the same keys in level 0."""
    for _ in range(rounds):
        for number in range(20):
            db.put(b"%03d" % number, b"v" * 40)
        db.flush_memtable()


def test_the_jobs_that_relieve_a_stall_are_promoted_and_only_as_long_as_it_lasts(tmp_path: Path) -> None:
    """Slowed down by level 0: its merges rank with flushes, until they are done."""
    with lsmproc.Env(background="inline") as env:
        env.background = background = Recording(env)
        triggers = {
            "level0_compaction_trigger": 2,
            "level0_slowdown_writes_trigger": 4,
            "level0_stop_writes_trigger": 9,
        }
        with lsmproc.open(tmp_path, env=env, **triggers) as db:
            flush(db, 3)
            assert [] == background.promoted
            flush(db, 2)
            assert [frozenset({Priority.LEVEL0})] == background.promoted
            background.let_go()
            db.wait_idle(10)
            assert [frozenset({Priority.LEVEL0}), frozenset()] == background.promoted


class Scripted:
    """A picker that would like one compaction after the other, as many at once as it is told."""

    def __init__(self, *levels: int, parallelism: int) -> None:
        self._wanted = [a_compaction(number, level) for number, level in enumerate(levels, 1)]
        self._parallelism = parallelism

    def pick(self, version: Version, running: Sequence[Compaction]) -> Compaction | None:
        left = [each for each in self._wanted if each not in running]
        return left[0] if left else None

    def parallelism(self, version: Version) -> int:
        return self._parallelism


def a_compaction(number: int, level: int) -> Compaction:
    """Of one table of its own keys."""
    key = b"%d" % number
    file = FileMetadata(number, 1000, 1, 1, key, key, 1, 0, 1, 1, 10)
    return Compaction(((level, (file,)),), level + 1, "the script says so", 1.0)


def levels_submitted(picker: Scripted, workers: int) -> list[int]:
    """The levels of the compactions that one scheduling pass hands to the background."""
    submitted: list[int] = []
    schedule = CompactionSchedule(
        SimpleNamespace(path="/x"),
        SimpleNamespace(version=Version()),
        picker,
        lambda request, priority, on_reply: submitted.append(request.output_level - 1),
        SimpleNamespace(),
        epoch=1,
        options_for=lambda level, bottommost: TableOptions(),
        droppable_below=lambda: 0,
        workers=lambda: workers,
        new_job=count(1).__next__,
        retries=Retries(lambda: 0.0),
        on_change=lambda: None,
        on_error=lambda error: None,
    )  # type: ignore[arg-type]
    schedule.submit()
    schedule.submit()
    return submitted


def test_level_0_starts_beside_deeper_work_that_has_taken_all_places() -> None:
    """The background pauses a deeper one for it; never more than one is started so."""
    assert [1, 2, 0] == levels_submitted(Scripted(1, 2, 0, 0, parallelism=9), workers=2)


def test_deeper_work_waits_for_a_place_and_so_does_more_of_level_0() -> None:
    """Only level 0 may take the place of another, and only of deeper work."""
    assert [1, 2] == levels_submitted(Scripted(1, 2, 3, parallelism=9), workers=2)
    assert [0, 1] == levels_submitted(Scripted(0, 1, 0, parallelism=9), workers=2)


def test_level_0_waits_while_no_more_than_one_compaction_is_justified() -> None:
    """Parallelism is earned by pressure, whoever asks."""
    assert [1] == levels_submitted(Scripted(1, 0, parallelism=1), workers=1)


def test_an_automatic_rate_follows_a_store_that_is_written_to(tmp_path: Path, eventually: Eventually) -> None:
    """From the floor up with the writes, through the store's own ticks, and fixed again when it is turned off."""
    options: dict[str, Any] = {"background": "thread", "rate_limit_auto": True, "rate_limit_bytes_per_sec": "512MiB"}
    with lsmproc.open(tmp_path, wal_sync="none", **options) as db:
        limiter = db.env.rate_limiter
        eventually(lambda: (512 << 20) // 20 == limiter.bytes_per_second, what="the floor of an idle store")
        with db.background_paused():
            value = b"v" * 20_000

            def risen() -> bool:
                for number in range(200):
                    db.put(b"%d" % number, value)
                return (limiter.bytes_per_second or 0) > (512 << 20) // 20

            eventually(risen, what="the rate rises")
        db.set_options(rate_limit_auto=False, rate_limit_bytes_per_sec="64MiB/s")
        assert 64 << 20 == limiter.bytes_per_second == limiter.limit
