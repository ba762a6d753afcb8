"""The screen of ``lsmproc top`` as lines of coloured spans, made from a status: the same with rich and without.

It is made from whatever the page holds: figures that are missing are left out, and figures that it does not know are
shown under their own names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lsmproc.cli.top.event_text import event_style, event_words
from lsmproc.cli.top.figures import amount, bar, duration, number_of, rate, size
from lsmproc.monitoring.store_status import StoreStatus

_EVENTS = 8
_WIDE = 76  # from here on bars and job descriptions have room
_KNOWN = {
    "path", "uptime_seconds", "sequence", "memtable", "immutable_memtables", "wal", "levels", "compaction_debt_bytes",
    "running_jobs", "reads", "block_cache", "stall", "limiter", "workers", "snapshots", "background_error",
    "write_amplification", "operations", "pid", "taken_at", "jobs", "background_error_kind",
}  # fmt: skip
_QUIET = {"table_created", "table_deleted", "flush_begun"}  # Other events say as much.
_QUANTILES = {"p50": "p50_seconds", "p99": "p99_seconds", "p99.9": "p999_seconds", "max": "max_seconds"}
_OWNER_STYLES = {"running": "bold green", "closed": "yellow", "unknown": "yellow"}
_STALL_STYLES = {"normal": "green", "slowdown": "yellow"}


class Span(NamedTuple):
    """Some text in one style, in rich's words; "" is plain."""

    text: str
    style: str = ""


Line = list[Span]


def view_of(status: StoreStatus, width: int) -> list[Line]:
    """The lines of the screen. Longer ones than ``width`` are the screen's to cut."""
    lines = [*_head(status)]
    if status.stats:
        lines += _stall(status.stats)
        lines += _rates(status, status.stats)
        lines += _memory(status.stats, width)
        lines += _levels(status.stats, width)
        lines += _workers(status.stats, width)
        lines += _latencies(status.stats)
        lines += _others(status.stats)
    lines += _events(status)
    return lines


def _head(status: StoreStatus) -> Iterator[Line]:
    style = _OWNER_STYLES.get(status.owner, "bold red")
    line = [Span(f"{status.owner.upper()} ", style), Span(status.path, "bold")]
    if status.owner == "running":
        pid = status.page.get("pid")
        up = number_of(status.stats.get("uptime_seconds")) + number_of(status.age_seconds)
        line.append(Span(f"  pid {pid}  up {duration(up)}"))
        yield line
    else:
        yield line
        yield [Span(status.text, style)]


def _stall(stats: dict[str, Any]) -> Iterator[Line]:
    stall = _dict(stats, "stall")
    state = str(stall.get("state", "normal"))
    line = [Span("writes   "), Span(state.upper(), _STALL_STYLES.get(state, "bold red"))]
    if state != "normal":
        line.append(Span(f" by {stall.get('reason')} for {duration(stall.get('seconds_in_state'))}"))
    counts, seconds = _dict(stall, "stalls"), _dict(stall, "seconds")
    past = [f"{reason} {times}x {duration(seconds.get(reason))}" for reason, times in counts.items() if times]
    if past:
        waits = f"; {amount(stall.get('waits'))} writes waited {duration(stall.get('waited_seconds'))}"
        line.append(Span(f"   stalls: {', '.join(past)}{waits}"))
    yield line
    if stats.get("background_error"):
        yield [Span(f"background error: {stats['background_error']}", "bold red")]


def _rates(status: StoreStatus, stats: dict[str, Any]) -> Iterator[Line]:
    rates = status.rates
    parts = [
        f"{label} {show(rates[name])}"
        for label, name, show in (
            ("in", "ingested_bytes_per_second", rate),
            ("puts", "puts_per_second", _each_second),
            ("batched", "batch_records_per_second", _each_second),
            ("gets", "gets_per_second", _each_second),
            ("ranges", "scans_per_second", _each_second),
            ("flushed", "flushed_bytes_per_second", rate),
            ("compacted", "compacted_bytes_per_second", rate),
        )
        if name in rates
    ]
    if parts:
        yield [Span("rates    " + "  ".join(parts))]
    limiter = _dict(stats, "limiter")
    limit = limiter.get("bytes_per_second")
    granted = number_of(rates.get("granted_bytes_per_second"))
    if limit:
        share = granted / number_of(limit)
        style = "yellow" if share > 0.9 else ""
        text = f"{rate(limit)} [{bar(share, 12)}] {share:.0%} used"
        yield [Span("limiter  "), Span(text, style), Span(f", waited {duration(limiter.get('waited_seconds'))} in all")]
    else:
        yield [Span("limiter  off")]


def _memory(stats: dict[str, Any], width: int) -> Iterator[Line]:
    memtable, immutable, wal = _dict(stats, "memtable"), _dict(stats, "immutable_memtables"), _dict(stats, "wal")
    text = f"memtable {size(memtable.get('bytes'))}, {amount(memtable.get('entries'))} records"
    text += f"; {amount(immutable.get('count'))} waiting, {size(immutable.get('bytes'))}"
    yield [Span(f"{text}; log {size(wal.get('bytes'))} in {amount(wal.get('segments'))} segments")]
    cache = _dict(stats, "block_cache")
    limit = number_of(cache.get("limit_bytes"))
    if limit:
        drawn = f"[{bar(number_of(cache.get('bytes')) / limit, 12)}] " if width >= _WIDE else ""
        hits = number_of(cache.get("hit_ratio"))
        yield [Span(f"cache    {drawn}{size(cache.get('bytes'))} of {size(limit)}, hits {hits:.1%}")]
    snapshots = _dict(stats, "snapshots")
    if snapshots.get("count"):
        age = duration(snapshots.get("oldest_age_seconds"))
        text = f"readers  {amount(snapshots['count'])} snapshots and iterators, the oldest {age}"
        yield [Span(f"{text}, pinning {size(snapshots.get('pinned_bytes'))}")]


def _levels(stats: dict[str, Any], width: int) -> Iterator[Line]:
    for level in _dicts(stats, "levels"):
        if not level.get("files") and not level.get("compactions"):
            continue
        score = number_of(level.get("score"))
        style = "red" if score >= 2 else "yellow" if score >= 1 else "green"
        name = f"L{level.get('level')}"
        held = f"{amount(level.get('files')):>5} tables {size(level.get('bytes')):>10}"
        line = [Span(f"{name:<8} {held}  score {score:5.2f} ")]
        if width >= _WIDE:
            line.append(Span(f"[{bar(score / 2, 20)}]", style))
        line.append(Span(f"  w-amp {number_of(level.get('write_amplification')):.1f}"))
        yield line
    debt = stats.get("compaction_debt_bytes")
    if debt:
        yield [Span(f"pending  {size(debt)} to compact")]


def _workers(stats: dict[str, Any], width: int) -> Iterator[Line]:
    for worker in _dicts(stats, "workers"):
        state = str(worker.get("state"))
        style = {"busy": "bold", "dead": "red", "starting": "yellow"}.get(state, "dim")
        counts = f"{amount(worker.get('jobs_done'))} done"
        if worker.get("restarts"):
            counts += f", {worker['restarts']} restarts"
        pid = worker.get("pid")
        process = f"pid {pid}" if pid else ""
        line = [Span(f"{worker.get('name')!s:<13} "), Span(f"{state:<8}", style), Span(f" {process:<11} {counts}")]
        if worker.get("job"):
            line.append(Span(f"  {_progress(worker)}", "cyan"))
            if width >= _WIDE:
                line.append(Span(f"  {_short(str(worker['job']))}", "dim"))
        yield line


def _progress(worker: dict[str, Any]) -> str:
    """How far a job is: it writes at most about what it reads, so the rest is an upper bound."""
    total, written = number_of(worker.get("job_bytes")), number_of(worker.get("job_bytes_written"))
    seconds = number_of(worker.get("job_seconds"))
    if not total or not written or not seconds:
        return f"for {duration(seconds)}"
    left = max(0.0, total - written) * seconds / written
    return f"{size(written)} of {size(total)} at most, {rate(written / seconds)}, < {duration(left)} left"


def _short(job: str) -> str:
    """``job 7 (compaction to level 1 of ...)`` without its directory."""
    return job.partition(" in /")[0].partition("(")[2] or job


def _latencies(stats: dict[str, Any]) -> Iterator[Line]:
    for name, figures in _dict(stats, "operations").items():
        if isinstance(figures, dict) and figures.get("count"):
            shown = [f"{label} {duration(figures[key])}" for label, key in _QUANTILES.items() if key in figures]
            yield [Span(f"{name:<13} {amount(figures['count']):>7}  " + "  ".join(shown))]


def _others(stats: dict[str, Any]) -> Iterator[Line]:
    """Figures that this screen does not know, of this release or a later one."""
    for name, value in stats.items():
        if name in _KNOWN:
            continue
        if isinstance(value, dict):
            figures = [f"{key} {_plain(item)}" for key, item in value.items() if isinstance(item, (int, float, str))]
            if any(number_of(item) for item in value.values()):
                yield [Span(f"{name}: {', '.join(figures)}", "dim")]
        elif isinstance(value, (int, float)) and value and not isinstance(value, bool):
            yield [Span(f"{name}: {_plain(value)}", "dim")]


def _events(status: StoreStatus) -> Iterator[Line]:
    events = [event for event in status.events if event.get("event") not in _QUIET]
    for event in events[-_EVENTS:]:
        time = str(event.get("time", ""))[11:23]
        yield [Span(f"{time} ", "dim"), Span(event_words(event), event_style(event))]


def _each_second(value: Any) -> str:
    return f"{amount(value)}/s"


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _dict(tree: dict[str, Any], name: str) -> dict[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _dicts(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = tree.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
