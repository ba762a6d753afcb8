"""A process dies at one operation on a file, or one operation fails: arming, waiting for it, and what must follow."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from lsmproc.stress.armed_disk import Armed, arm, disarm, was_hit
from lsmproc.stress.oracle import Problem
from lsmproc.stress.points import CLOSING, LOADED, OPENING, POINTS, Point
from lsmproc.stress.worker_faults import workers_of

if TYPE_CHECKING:
    from lsmproc.stress.cycle_result import CycleResult
    from lsmproc.stress.episode import Episode
    from lsmproc.stress.owner_under_test import OwnerUnderTest
    from lsmproc.stress.schedule import CyclePlan

_HIT_SECONDS = 10.0  # each operation comes many times a second
_POLL_SECONDS = 0.005
_RECOVERY_SECONDS = 10.0  # writes that raised are taken again by then; the pauses between attempts are up to 5 s
_DELAYS = (0.05, 0.5)


def run(episode: Episode, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
    """Arm the point of the cycle, wait until it is reached, and look at what is left."""
    point = POINTS[cycle.point]
    stages = point.stages_with(episode.plan.options.options.get("manifest"))
    stage = cycle.chance.choice(stages)
    armed = _armed(point, stage, cycle)
    result.victim = stage
    try:
        if stage == OPENING:
            _while_opening(episode, owner, point, armed, result)
        elif stage == CLOSING:
            _while_closing(episode, owner, point, armed, result)
        elif point.role != "owner":
            _in_worker(episode, owner, point, armed, result)
        elif point.kills:
            _arm(episode, owner, armed)
            owner.await_death(_HIT_SECONDS)
            _note_hit(episode, armed, result)
            episode.finish_killed(owner, result)
            episode.open(result)
        else:
            _under_load(episode, owner, point, armed, cycle.chance, result)
    finally:
        disarm(str(episode.root))


def _armed(point: Point, stage: str, cycle: CyclePlan) -> Armed:
    """How often the operation passes first: about as often as it comes within a moment."""
    chance = cycle.chance
    most = 0
    if stage == LOADED:
        most = {"owner.write.wal": 200, "compaction.write.table": 2, "compaction.create.table": 2}.get(point.place, 0)
        most = most or (3 if point.role == "owner" else 0)
    elif point.place == "owner.write.manifest":
        most = 2
    return Armed(
        str(point), cycle.number, chance.randint(0, most), chance.random() * 0.999, round(chance.uniform(*_DELAYS), 3)
    )


def _arm(episode: Episode, owner: OwnerUnderTest | None, armed: Armed) -> None:
    arm(str(episode.root), armed)
    if owner is not None:
        owner.tell({"do": "arm"})


def _note_hit(episode: Episode, armed: Armed, result: CycleResult) -> None:
    result.hit = was_hit(str(episode.root), armed.token)


def _while_opening(episode: Episode, owner: OwnerUnderTest, point: Point, armed: Armed, result: CycleResult) -> None:
    """The next owner comes to the point before it has opened the store, and then another one opens it."""
    episode.finish_killed(owner, result)
    _arm(episode, None, armed)
    victim = episode.start_owner(armed=True, tolerate_opening=True)
    if point.kills:
        victim.await_death(_HIT_SECONDS)
    else:
        said = victim.expect("opened", "not opened")
        if said["is"] == "not opened":
            result.victim += f", {said['error']}"
            if point.moment in {"short", "delay"}:
                result.problems.append(Problem("gave up", f"opening raised {said['error']}: {said['text']}"))
    _note_hit(episode, armed, result)
    episode.bury(victim)
    episode.open(result)


def _while_closing(episode: Episode, owner: OwnerUnderTest, point: Point, armed: Armed, result: CycleResult) -> None:
    """The owner comes to the point when it is told to close."""
    _arm(episode, owner, armed)
    if point.kills:
        owner.tell({"do": "close"})
        owner.await_death(_HIT_SECONDS)
    elif error := episode.close(owner, tolerate=True):
        result.victim += f", {error}"
    _note_hit(episode, armed, result)
    episode.finish_killed(owner, result)
    episode.open(result)


def _in_worker(episode: Episode, owner: OwnerUnderTest, point: Point, armed: Armed, result: CycleResult) -> None:
    """A job comes to the point; the application notices nothing, and a job of the kind is done afterwards."""
    _arm(episode, owner, armed)
    deadline = time.monotonic() + _HIT_SECONDS
    while not was_hit(str(episode.root), armed.token) and time.monotonic() < deadline:
        owner.run_for(_POLL_SECONDS)
    _note_hit(episode, armed, result)
    if result.hit:
        began = time.monotonic()
        done = _jobs_done(owner, point.role)
        # A job that was under way elsewhere may be the first to end, so the second one counts.
        while _jobs_done(owner, point.role) < done + 2:
            if time.monotonic() >= began + episode.slow_seconds + _RECOVERY_SECONDS:
                result.problems.append(Problem("slow", f"no {point.role} job was done after {point}"))
                break
            owner.run_for(_POLL_SECONDS)
        result.restart_ms = round((time.monotonic() - began) * 1000, 2)
    result.problems += [Problem("error", f"a write raised: {each['text']}") for each in owner.refused]
    episode.look_without_reopening(owner, result)


def _under_load(
    episode: Episode, owner: OwnerUnderTest, point: Point, armed: Armed, chance: Random, result: CycleResult
) -> None:
    """An operation of the owner fails; it goes on, or ends its writes where it may, and nothing is lost."""
    _arm(episode, owner, armed)
    deadline = time.monotonic() + _HIT_SECONDS
    while not was_hit(str(episode.root), armed.token) and time.monotonic() < deadline:
        owner.run_for(_POLL_SECONDS)
    _note_hit(episode, armed, result)
    owner.run_for(chance.uniform(0.01, 0.3))
    ended = _await_health(owner)
    said = sorted({each["error"] for each in owner.refused})
    result.victim += f", {'+'.join(said)}" if said else ""
    if said and point.moment in {"short", "delay"}:
        result.problems.append(Problem("gave up", f"{point}: a write raised {owner.refused[0]['text']}"))
    if ended:
        result.victim += ", opened again"
        if not point.breaks_promises:
            result.problems.append(Problem("gave up", f"{point}: {ended}"))
    how = chance.choice(("kill", "close", "go on"))
    if how == "go on" and not ended:
        episode.look_without_reopening(owner, result)
    elif how == "close":
        episode.close(owner, tolerate=True)
        episode.finish_killed(owner, result)
        episode.open(result)
    else:
        episode.finish_killed(owner, result)
        episode.open(result)


def _await_health(owner: OwnerUnderTest) -> str:
    """Wait until every thread writes again; else what keeps them from it."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while True:
        health = owner.ask("health", "health")
        if not health["usable"]:
            return f"the store takes no writes any more: {[each['text'] for each in owner.refused]}"
        if not health["refused"]:
            return ""
        if time.monotonic() >= deadline:
            return f"writes still raise after {_RECOVERY_SECONDS:g} s: {health['refused']}"
        owner.run_for(_POLL_SECONDS)


def _jobs_done(owner: OwnerUnderTest, kind: str) -> int:
    return sum(each["jobs_done"] for each in workers_of(owner, kind))
