"""Committing together: how long a leader waits for the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from lsmproc.writing import commit as commit_module
from lsmproc.writing.commit import Commit, Company


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[float]]:
    """Have a rest call something instead of taking time; the list tells of all rests."""
    taken: list[float] = []

    def make(meanwhile: Callable[[], None]) -> list[float]:
        def rest(seconds: float) -> None:
            taken.append(seconds)
            meanwhile()

        monkeypatch.setattr(commit_module.time, "sleep", rest)
        return taken

    return make


def one() -> Commit:
    """A commit that asks for a sync."""
    return Commit([b"key"], [b"value"], sync=True)


def test_a_writer_alone_never_rests(rests: Callable[[Callable[[], None]], list[float]]) -> None:
    """Its syncs follow each other as fast as the disk allows."""
    company, queue = Company(), deque([one()])
    taken = rests(lambda: None)
    company.gather(queue)
    group = [queue.popleft()]
    company.finish(group, queue)
    assert group[0].done
    queue.append(one())
    company.gather(queue)
    assert [] == taken


def test_a_leader_rests_until_as_many_queue_as_the_last_time(
    rests: Callable[[Callable[[], None]], list[float]],
) -> None:
    """Two were in the last group and one waited behind it."""
    company, queue = Company(), deque([one()])
    company.finish([one(), one()], queue)
    taken = rests(lambda: queue.extend([one(), one()]))
    company.gather(queue)
    assert 1 == len(taken)


def test_a_leader_does_not_rest_for_long(rests: Callable[[Callable[[], None]], list[float]]) -> None:
    """Those who do not come back have ended, or have other things to do."""
    company, queue = Company(), deque([one()])
    company.finish([one(), one()], queue)
    taken = rests(lambda: None)
    company.gather(queue)
    assert 2 == len(taken)
    company.finish([queue.popleft()], queue)
    queue.append(one())
    company.gather(queue)
    assert 2 == len(taken)
