"""The clocks. Throughput and latency come from two passes, so that neither disturbs the other.

The *whole* pass has one clock around each chunk of operations (or, with several threads, around all of them) and
gives operations per second. The *each* pass has a clock around each operation, which costs about 0.1 us, and gives
percentiles and the worst case. Chunks are made while the clock stands still.
"""

from __future__ import annotations

import gc
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lsmproc.bench.workloads.work import Work

_MAX_POINTS = 400
_WARM_SHARE = 5  # one chunk in so many
_JOIN_SECONDS = 3600.0
_PERCENTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))

Point = tuple[float, ...]


@dataclass(slots=True)
class Whole:
    """What the pass without a clock around each operation found."""

    operations: int = 0  # records, where an operation is a batch
    seconds: float = 0.0
    foreground_cpu_seconds: float | None = None  # of the one calling thread: hardly moved by a busy machine
    making_cpu_seconds: float = 0.0  # of making the arguments, which is no work of the system
    timeline: list[Point] = field(default_factory=list)  # (seconds, operations per second until then)


@dataclass(slots=True)
class Each:
    """What the pass with a clock around each operation found; latencies in microseconds."""

    operations: int = 0
    latency: dict[str, float] = field(default_factory=dict)
    timeline: list[Point] = field(default_factory=list)  # (seconds, median, worst) of a stretch
    activity: list[tuple[float, float, str]] = field(default_factory=list)  # (from, to, kind) of background work


def warm(work: Work) -> None:
    """Run a part of the work, not counted."""
    for stream in work.streams:
        chunks = list(stream)
        for chunk in chunks[: max(1, len(chunks) // _WARM_SHARE)]:
            work.loop.run(chunk)


def measure_whole(work: Work) -> Whole:
    """The whole pass."""
    gc.collect()
    with work.beside():
        return _whole_of_threads(work) if len(work.streams) > 1 else _whole_of_one(work)


def measure_each(work: Work, activity: Callable[[], tuple[str, ...]] | None) -> Each:
    """The each pass; ``activity`` is asked between chunks."""
    gc.collect()
    with work.beside():
        return _each_of_threads(work) if len(work.streams) > 1 else _each_of_one(work, activity)


def _whole_of_one(work: Work) -> Whole:
    whole = Whole()
    run, count, weight = work.loop.run, work.loop.count, work.weight
    points: list[tuple[float, int]] = []
    clock, cpu_clock = time.perf_counter, time.thread_time
    foreground = 0.0
    making = cpu_clock()
    for chunk in work.streams[0]:
        cpu_started = cpu_clock()
        whole.making_cpu_seconds += cpu_started - making
        started = clock()
        run(chunk)
        whole.seconds += clock() - started
        making = cpu_clock()
        foreground += making - cpu_started
        whole.operations += count(chunk) * weight
        points.append((whole.seconds, whole.operations))
    whole.foreground_cpu_seconds = foreground
    whole.timeline = _rates(points)
    return whole


def _rates(points: list[tuple[float, int]]) -> list[Point]:
    step = -(-len(points) // _MAX_POINTS)
    kept = [(0.0, 0), *points[step - 1 :: step]] if points else []
    return [
        (round(later[0], 6), round((later[1] - earlier[1]) / max(later[0] - earlier[0], 1e-9)))
        for earlier, later in pairwise(kept)
    ]


def _whole_of_threads(work: Work) -> Whole:
    """All chunks are made beforehand: making them beside the others would take the interpreter lock from them."""
    prepared = [list(stream) for stream in work.streams]
    run = work.loop.run

    def drain(chunks: list[Any]) -> None:
        for chunk in chunks:
            run(chunk)

    seconds = _time_threads(drain, prepared)
    return Whole(sum(work.loop.count(chunk) for chunks in prepared for chunk in chunks) * work.weight, seconds)


def _time_threads(target: Callable[[Any], None], arguments: list[Any]) -> float:
    """Run a thread for each argument; seconds from the common start to the last one's end."""
    barrier = threading.Barrier(len(arguments) + 1)

    def run(argument: Any) -> None:
        barrier.wait()
        target(argument)

    threads = [threading.Thread(target=run, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join(_JOIN_SECONDS)
    return time.perf_counter() - started


def _each_of_one(work: Work, activity: Callable[[], tuple[str, ...]] | None) -> Each:
    each = Each()
    latencies = array("Q")
    stretches: list[Point] = []
    active: dict[str, float] = {}
    total = 0.0
    for chunk in work.streams[0]:
        first = len(latencies)
        total += _clock_each(work.loop.calls(chunk), latencies) / 1e9
        found = sorted(latencies[first:])
        stretches.append((total, found[len(found) // 2] / 1e3, found[-1] / 1e3))
        if activity is not None:
            _note_activity(each, active, activity(), stretches[-2][0] if len(stretches) > 1 else 0.0, total)
    for kind, since in active.items():
        each.activity.append((since, total, kind))
    each.operations = len(latencies)
    each.latency = _percentiles(latencies)
    each.timeline = list(_joined(stretches))
    return each


def _clock_each(calls: Any, latencies: array[int]) -> int:
    """A clock around each call; nanoseconds in all."""
    clock, add = time.perf_counter_ns, latencies.append
    begun = clock()
    for call in calls:
        started = clock()
        call()
        add(clock() - started)
    return clock() - begun


def _note_activity(each: Each, active: dict[str, float], kinds: tuple[str, ...], since: float, now: float) -> None:
    for kind in kinds:
        active.setdefault(kind, since)
    for kind in [kind for kind in active if kind not in kinds]:
        each.activity.append((active.pop(kind), now, kind))


def _joined(stretches: list[Point]) -> Iterator[Point]:
    """At most so many points: the median of neighbours' medians, the worst of their worst."""
    step = max(1, -(-len(stretches) // _MAX_POINTS))
    for at in range(0, len(stretches), step):
        few = stretches[at : at + step]
        medians = sorted(stretch[1] for stretch in few)
        yield round(few[-1][0], 6), medians[len(medians) // 2], max(stretch[2] for stretch in few)


def _each_of_threads(work: Work) -> Each:
    prepared = [([call for chunk in stream for call in work.loop.calls(chunk)], array("Q")) for stream in work.streams]
    _time_threads(lambda part: _ignore(_clock_each(*part)), prepared)
    latencies = array("Q")
    for _, found in prepared:
        latencies.extend(found)
    return Each(len(latencies), _percentiles(latencies))


def _ignore(_elapsed: int) -> None:
    """The sum of a thread is of no interest."""


def _percentiles(latencies: array[int]) -> dict[str, float]:
    if not latencies:
        return {}
    found = sorted(latencies)
    last = len(found) - 1
    return {name: found[round(share * last)] / 1e3 for name, share in _PERCENTILES} | {"worst": found[-1] / 1e3}
