"""Experiment: how fast a pure Python thread goes on while compaction runs."""

from __future__ import annotations

import time

import lsmproc
from lsmproc.bench.beyond.experiment import IDLE_SECONDS, Answer, store_options
from lsmproc.bench.settings import Settings

_SLICE_SECONDS = 0.05
_ALONE_SECONDS = 2.0
_BEGIN_SECONDS = 20.0  # for a compaction to begin
_TURNS = 2000  # about 0.1 ms between two looks at the clock

Slices = list[tuple[float, float]]  # turns per second, turns per second of the thread's own processor time


def loop(settings: Settings, directory: str) -> Answer:
    """Turns per second of a loop before, while and after a backlog is compacted by one worker."""
    options = store_options(settings) | {"compaction_workers": 1, "create_if_missing": False}
    with lsmproc.open(directory, **options) as db:
        with db.background_paused():
            alone = _slices(_ALONE_SECONDS)
        beside: Slices = []
        begun = time.monotonic()
        while time.monotonic() < begun + IDLE_SECONDS:
            before = db.stats()
            few = _slices(_SLICE_SECONDS)
            if before.running_jobs and db.stats().running_jobs:
                beside += few
            elif beside or time.monotonic() > begun + _BEGIN_SECONDS:
                break
        db.wait_idle(IDLE_SECONDS)
        alone += _slices(_ALONE_SECONDS)
    return {"alone": alone, "beside": beside}


def _slices(seconds: float) -> Slices:
    """The loop for so long."""
    slices = []
    clock, own_clock = time.perf_counter, time.thread_time
    end = clock() + seconds
    while True:
        turns, started, own = 0, clock(), own_clock()
        now = started
        while now - started < _SLICE_SECONDS:
            _turn(_TURNS)
            turns += _TURNS
            now = clock()
        slices.append((turns / (now - started), turns / max(own_clock() - own, 1e-9)))
        if clock() >= end:
            return slices


def _turn(count: int) -> int:
    """Something only the interpreter does."""
    total = 0
    for number in range(count):
        total = (total * 31 + number) & 0xFFFF
    return total
