"""Power is lost under a working store, and now and then once more while it is opened again."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from lsmproc.stress.faults import Fault
from lsmproc.stress.plan import INTERVAL_PROMISE_SECONDS
from lsmproc.stress.volumes import modelled_cut

if TYPE_CHECKING:
    from lsmproc.stress.cycle_result import CycleResult
    from lsmproc.stress.episode import Episode
    from lsmproc.stress.owner_under_test import OwnerUnderTest
    from lsmproc.stress.schedule import CyclePlan

_MOST_CUTS_WHILE_OPENING = 3


def run(episode: Episode, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
    """Cut the power under the load, and look at what is left."""
    old = owner.acks.received_before(time.monotonic() - INTERVAL_PROMISE_SECONDS)
    # A sync that is under way while a file system shuts down may claim success for what is lost: on a machine without
    # power nobody would hear of it. So only what was acknowledged until here is promised.
    owner.take_what_came()
    before = len(owner.acks.order)
    episode.volume.cut_power(owner, cycle.chance)
    _end(episode, owner)
    result.acked = len(owner.acks.order)
    episode.oracle.cut(owner.acks.order, old if episode.plan.sync == "interval" else 0, before)
    episode.copy_evidence()
    if cycle.fault is Fault.CUT_POWER_REOPENING:
        for _ in range(cycle.chance.randint(1, _MOST_CUTS_WHILE_OPENING)):
            _cut_while_opening(episode, cycle.chance)
    episode.open(result)
    result.survived = episode.oracle.survived


def _cut_while_opening(episode: Episode, chance: Random) -> None:
    if episode.plan.volume == "model":
        victim = episode.start_owner(cut_opening={"after": chance.randint(1, 40), **modelled_cut(chance)})
        victim.expect("cut")
    else:
        victim = episode.start_owner()
        victim.expect("opening")
        victim.run_for(chance.random() * 0.03)
        episode.volume.cut_power(victim, chance)
    _end(episode, victim)


def _end(episode: Episode, owner: OwnerUnderTest) -> None:
    owner.kill_all()
    episode.owner = None
    episode.volume.restore_power()
