"""The disk under a store fills up until writes raise, and later it gets room again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lsmproc.stress.oracle import Problem

if TYPE_CHECKING:
    from lsmproc.stress.cycle_result import CycleResult
    from lsmproc.stress.episode import Episode
    from lsmproc.stress.owner_under_test import OwnerUnderTest
    from lsmproc.stress.schedule import CyclePlan

SECOND_LOAD = 1 << 30  # added to the number of a cycle for the operations after its disk was full
_FILL_SECONDS = 60.0
_RESUME_SECONDS = 5.0
_POLL_SECONDS = 0.005


def run(episode: Episode, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
    """Wait for the first NoSpaceError, look, give the disk room, and look again."""
    chance = cycle.chance
    result.victim = f"{episode.plan.room_bytes >> 10} KiB"
    if not owner.await_refusal(_FILL_SECONDS):
        result.acked = sum(owner.acks.done)
        text = f"no write has raised within {_FILL_SECONDS:g} s, and {sum(owner.acks.done)} were acknowledged"
        result.problems.append(Problem("slow", f"a disk with room for {result.victim} is not full: {text}"))
        return
    owner.run_for(chance.uniform(0.1, 1.0))
    if chance.random() < 0.25:
        _note_refusals(owner, result)
        episode.finish_killed(owner, result)
        episode.volume.give_room()
        episode.open(result)
        return
    episode.look_without_reopening(owner, result)
    _note_refusals(owner, result)
    if result.problems:
        return
    episode.start_load(owner, cycle.number + SECOND_LOAD, tolerate=True)
    owner.run_for(chance.uniform(0.0, 0.5))
    _resume(episode, owner, result)
    owner.run_for(chance.uniform(0.05, 0.3))
    _note_refusals(owner, result)
    episode.finish_killed(owner, result)
    episode.open(result)


def _resume(episode: Episode, owner: OwnerUnderTest, result: CycleResult) -> None:
    """Give the disk room and wait until every thread writes."""
    episode.volume.give_room()
    gave = time.monotonic()
    owner.take_what_came()
    before = list(owner.acks.done)
    while any(now <= then for now, then in zip(owner.acks.done, before, strict=True)):
        if time.monotonic() >= gave + _RESUME_SECONDS:
            text = f"{_RESUME_SECONDS:g} s after it got room: {owner.ask('health', 'health')}"
            result.problems.append(Problem("slow", f"a disk that was full is not written to {text}"))
            return
        owner.run_for(_POLL_SECONDS)
    result.resume_ms = round((time.monotonic() - gave) * 1000, 2)


def _note_refusals(owner: OwnerUnderTest, result: CycleResult) -> None:
    """On a full disk writes may raise NoSpaceError, and nothing else."""
    others = [each for each in owner.refused if each["error"] != "NoSpaceError"]
    result.problems += [Problem("error", f"a write raised {each['error']}: {each['text']}") for each in others]
    owner.refused = []
