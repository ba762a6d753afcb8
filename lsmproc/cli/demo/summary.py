"""What happened in a load, and the short table of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHORTEST_SECONDS = 0.01  # a rate over less is noise


@dataclass(slots=True)
class LoadOutcome:
    """Figures of the load, filled in as it goes."""

    records: int
    files: int
    acknowledged_at_kill: int = 0
    missing: int = 0  # of those, after the kill
    beyond: int = 0  # put but not acknowledged when the process was killed, and in the store
    workers_gone_seconds: float = 0.0
    reopen_seconds: float = 0.0
    replayed_bytes: int = 0
    load_seconds: float = 0.0
    raw_bytes: int = 0  # of keys and values
    disk_bytes: int = 0
    tables: int = 0
    scan_seconds: float = 0.0
    gets: int = 0
    get_seconds: float = 0.0
    figures: list[dict[str, Any]] = field(default_factory=list)  # last of each load process


def summary_rows(outcome: LoadOutcome) -> list[tuple[str, str]]:
    """Names and values, in the order of events."""
    levels = [level for figures in outcome.figures for level in figures["levels"]]
    flushed = sum(level["bytes_from_above"] for level in levels if level["level"] == 0)
    written = sum(level["bytes_written"] for level in levels)
    flushes = sum(level["compactions"] for level in levels if level["level"] == 0)
    limiters = [figures["limiter"] for figures in outcome.figures]
    limit = limiters[-1]["bytes_per_second"] if limiters else None
    return [
        (
            "records",
            f"{outcome.records:,} lines of {outcome.files:,} files, {_mb(outcome.raw_bytes)} of keys and values",
        ),
        ("load", f"{_rate(outcome.records, outcome.load_seconds)} puts/s, each acknowledged through a pipe"),
        ("acknowledged at the kill", f"{outcome.acknowledged_at_kill:,}; missing afterwards: {outcome.missing:,}"),
        ("put but not acknowledged", f"{outcome.beyond}, also there"),
        ("workers gone after", f"{outcome.workers_gone_seconds * 1000:.0f} ms"),
        ("reopened in", f"{outcome.reopen_seconds * 1000:.0f} ms, {_mb(outcome.replayed_bytes)} of log replayed"),
        ("flushes", f"{flushes}"),
        *_worker_rows(outcome.figures),
        ("written by workers", f"{_mb(written)}, write amplification {written / max(flushed, 1):.1f}"),
        ("rate limiter", f"{_mb(limit or 0)}/s, waited {sum(each['waited_seconds'] for each in limiters):.1f} s"),
        ("stalled writes", _stalls(outcome.figures)),
        ("size on disk", f"{_mb(outcome.disk_bytes)} in {outcome.tables} tables and the log, {_share(outcome)} of raw"),
        ("scan", f"{_rate(outcome.records, outcome.scan_seconds)} records/s"),
        ("random get", f"{outcome.get_seconds / max(outcome.gets, 1) * 1e6:.1f} us"),
    ]


def _worker_rows(all_figures: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """For each compaction worker, the jobs of each of its processes."""
    jobs: dict[str, list[str]] = {}
    for figures in all_figures:
        for worker in figures["workers"]:
            if worker["kind"] == "compaction":
                jobs.setdefault(worker["name"], []).append(f"{worker['jobs_done']} in process {worker['pid']}")
    return [(f"compactions, {name}", ", ".join(counts)) for name, counts in sorted(jobs.items())]


def _stalls(all_figures: list[dict[str, Any]]) -> str:
    waits = sum(figures["stall"]["waits"] for figures in all_figures)
    seconds = sum(figures["stall"]["waited_seconds"] for figures in all_figures)
    return f"{waits:,} puts waited {seconds:.2f} s together"


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}" if seconds > _SHORTEST_SECONDS else "too few to tell"


def _share(outcome: LoadOutcome) -> str:
    return f"{outcome.disk_bytes / max(outcome.raw_bytes, 1):.0%}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
