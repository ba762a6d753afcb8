"""Experiments with the rate limiter: bytes per second as the kernel counts them, and puts beside a compaction."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

import psutil

import lsmproc
from lsmproc.bench.beyond.experiment import Answer, store_options
from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings

_SAMPLE_SECONDS = 0.02
_PHASE_SECONDS = 4.0
_PHASES = (1.0, 2.0, 0.5)  # times the rate
# Writes must meet the compaction and not the write controller, which would answer a backlog like this with a stall.
_NO_STALL = {"level0_slowdown_writes_trigger": 9_000, "level0_stop_writes_trigger": 10_000}
_PUT_SECONDS = 10.0
_PACE_SECONDS = 0.002
_STRETCH_SECONDS = 0.1


def limit(settings: Settings, directory: str, *, rate: int) -> Answer:
    """Compact a backlog at ``rate``, at twice the rate, at half of it; what was granted and written by each moment."""
    phases: list[dict[str, Any]] = []
    samples: list[tuple[float, int, int]] = []
    options = store_options(settings) | {"rate_limit_bytes_per_sec": rate, "worker_niceness": 0}
    with lsmproc.open(directory, **options) as db:
        started = time.perf_counter()
        for part in (int(times * rate) for times in _PHASES):
            db.env.rate_limiter.set_rate(part)
            begun = time.perf_counter() - started
            busy = begun
            while (now := time.perf_counter() - started) < begun + _PHASE_SECONDS:
                stats = db.stats()
                samples.append((now, _written(), stats.limiter.granted_bytes))
                if stats.running_jobs:
                    busy = now
                elif now - busy > 1:  # there is nothing left to be limited
                    break
                time.sleep(_SAMPLE_SECONDS)
            phases.append({"rate": part, "from": begun, "until": busy})
        db.env.rate_limiter.set_rate(None)
    return {"phases": phases, "samples": samples}


def paced_puts(settings: Settings, directory: str, *, rate: int | None) -> Answer:
    """Puts at an even pace while the backlog is compacted: the latency of each, in microseconds, over time."""
    maker = RecordMaker(settings, settings.seed + 1)
    total = int(_PUT_SECONDS * settings.write_rate)
    records = maker.records(maker.drawn(min(total, 200_000), settings.num))
    options = store_options(settings) | _NO_STALL | {"rate_limit_bytes_per_sec": rate, "create_if_missing": False}
    latencies: list[tuple[float, float]] = []
    spans: list[tuple[float, float]] = []
    with lsmproc.open(directory, **options) as db:
        started = looked = time.perf_counter()
        while (now := time.perf_counter()) - started < _PUT_SECONDS:
            due = min(total, int((now - started) * settings.write_rate))
            while len(latencies) < due:
                key, value = records[len(latencies) % len(records)]
                begun = time.perf_counter()
                db.put(key, value)
                latencies.append((begun - started, 1e6 * (time.perf_counter() - begun)))
                if latencies[-1][0] - (now - started) > _STRETCH_SECONDS:
                    break  # the rest is still due; look at the jobs meanwhile
            if any("compaction" in job for job in db.stats().running_jobs):
                spans.append((looked - started, time.perf_counter() - started))
            looked = time.perf_counter()
            time.sleep(_PACE_SECONDS)
        stats = db.stats()
    return {
        "puts": len(latencies),
        "due": total,
        "latency": _percentiles([latency for _, latency in latencies]),
        "timeline": _stretches(latencies),
        "compacting": _joined(spans),
        "stalled_seconds": stats.stall.waited_seconds,
        "debt_bytes": stats.compaction_debt_bytes,
    }


def _written() -> int:
    """Bytes that the worker processes handed to the kernel so far."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            total += child.io_counters().write_chars
    # With threads it is this process that writes.
    return total or psutil.Process(os.getpid()).io_counters().write_chars


def _percentiles(values: list[float]) -> dict[str, float]:
    found = sorted(values)
    last = len(found) - 1
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("worst", 1.0))
    return {name: found[round(share * last)] for name, share in shares} if found else {}


def _stretches(latencies: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """(end in seconds, p99, worst) of each tenth of a second."""
    stretches: dict[int, list[float]] = {}
    for at, latency in latencies:
        stretches.setdefault(int(at / _STRETCH_SECONDS), []).append(latency)
    return [
        ((number + 1) * _STRETCH_SECONDS, found["p99"], found["worst"])
        for number, values in sorted(stretches.items())
        for found in [_percentiles(values)]
    ]


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, stop in spans:
        if joined and start - joined[-1][1] < _STRETCH_SECONDS:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined
