"""Settings that several threads change at the same time, and those of a store that a fork ended."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import lsmproc
from lsmproc.storage.options_file import read_options

OpenStore = Callable[..., lsmproc.LSMStore]

ROUNDS = 30
DEADLINE_SECONDS = 20


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(*calls: Callable[[], object]) -> list[BaseException]:
    """Make the calls on a thread each, together; returns what they raised."""
    raised: list[BaseException] = []
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        together.wait(DEADLINE_SECONDS)
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is the answer.
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    return raised


@pytest.mark.usefixtures("_hasty_threads")
def test_of_two_threads_that_change_settings_none_loses_the_other_ones(open_store: OpenStore) -> None:
    """Each change is in force afterwards and on record, those that the Env decides too."""
    with open_store(background="thread") as db:
        for number in range(ROUNDS):
            trigger, memtable, cache = 4 + number % 5, (1 << 20) + number * 1024, (1 << 20) + number
            raised = at_once(
                lambda trigger=trigger: db.set_options(level0_compaction_trigger=trigger),  # type: ignore[misc]
                lambda memtable=memtable: db.set_options(memtable_max_bytes=memtable),  # type: ignore[misc]
                lambda cache=cache: db.env.set_options(block_cache_bytes=cache),  # type: ignore[misc]
                lambda cache=cache: db.env.set_options(row_cache_bytes=cache),  # type: ignore[misc]
            )
            assert [] == raised
            config, settings = db.config, db.env.settings
            assert (trigger, memtable) == (config.level0_compaction_trigger, config.memtable_max_bytes)
            assert (cache, cache) == (settings.block_cache_bytes, settings.row_cache_bytes)
        recorded = read_options(db._parts.fs)
        assert recorded is not None
        in_force = db._parts.written_settings()
        assert in_force["memtable_max_bytes"] == recorded["memtable_max_bytes"]
        assert in_force.get("level0_compaction_trigger") == recorded.get("level0_compaction_trigger")


def test_settings_in_a_forked_child_are_refused_with_the_remedy(open_store: OpenStore) -> None:
    """As every other call of its handle; and a thread of the parent that changes settings does not hold it up."""
    with open_store() as db, db._parts.whole_lock:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                threading.Thread(target=db.close).start()
                db.set_options(level0_compaction_trigger=6)
            except lsmproc.ForkedHandleError as error:
                code = 0 if "post_fork" in str(error) else 2
            finally:
                os._exit(code)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
