"""Rules about what no setting helps: work that fails, workers that die, snapshots that are never closed."""

from __future__ import annotations

from lsmproc.statistics.size_text import size_text
from lsmproc.tuning.history import History, number
from lsmproc.tuning.rule import Evidence, Rule, Suggestion

_MEBIBYTE = 1 << 20
_SEVERAL = 3  # once is chance
_PINNED_SHARE = 0.25
_LEAST_PINNED = _MEBIBYTE
_OLD_SNAPSHOT_SECONDS = 60.0


def _ended(history: History) -> Evidence | None:
    error = history.stats.get("background_error")
    return Evidence(f"background work has ended: {error}", {}, history.uptime_seconds) if error else None


def _reopen(history: History) -> Suggestion:
    del history
    return Suggestion(
        action="remove the cause and open the store again; lsmproc verify PATH tells whether files are damaged",
        effect="writes are taken again",
        risk="none: reads go on until then",
    )


def _jobs_fail(history: History) -> Evidence | None:
    events = history.of_kind("job_failing")
    count = max(len(events), 0 if history.events else int(history.figure("failed_jobs")))
    if count < _SEVERAL:
        return None
    last = events[-1] if events else {}
    why = f", the last with {last.get('error')}: {str(last.get('message'))[:200]}" if events else ""
    span = history.span_seconds if events else history.uptime_seconds
    return Evidence(f"{count} attempts at flushes or compactions failed{why}", {"failed": count}, span)


def _find_cause(history: History) -> Suggestion:
    events = history.of_kind("job_failing")
    full = any(event.get("error") == "NoSpaceError" for event in events)
    return Suggestion(
        action="make room on the disk" if full else "look at the error, and run lsmproc doctor PATH",
        effect="the work is done once and not again and again",
        risk="none",
    )


def _workers_die(history: History) -> Evidence | None:
    died = history.of_kind("worker_died")
    count = max(len(died), 0 if history.events else int(sum(number(row, "restarts") for row in _workers(history))))
    if count < _SEVERAL:
        return None
    names = ", ".join(sorted({str(event.get("worker")) for event in died}))
    text = f"worker processes died {count} times" + (f" ({names})" if names else "")
    return Evidence(text, {"died": count}, history.span_seconds if died else history.uptime_seconds)


def _workers(history: History) -> list[dict[str, object]]:
    return [dict(row) for row in history.rows("workers")]


def _less_memory(history: History) -> Suggestion:
    seconds = history.config.worker_hang_seconds
    return Suggestion(
        action="look into the log of the kernel for the out-of-memory killer, and into that of the service; "
        f"a worker without a sign of life for {seconds} s (worker_hang_seconds) is killed by its owner",
        effect="jobs are done once; one that loses three workers ends writes",
        risk="none",
    )


def _pinned(history: History) -> Evidence | None:
    pinned = history.figure("snapshots", "pinned_bytes")
    count, age = history.figure("snapshots", "count"), history.figure("snapshots", "oldest_age_seconds")
    # Of a closed store nothing is pinned any more, whatever its last page says.
    if pinned < max(_LEAST_PINNED, _PINNED_SHARE * history.table_bytes) or age < _OLD_SNAPSHOT_SECONDS or not count:
        return None
    text = (
        f"{count:.0f} snapshots or iterators, the oldest open for {age:.0f} s, keep {size_text(pinned)} of "
        f"tables from being deleted, beside {size_text(history.table_bytes)} that are needed"
    )
    return Evidence(text, {"pinned_bytes": pinned, "count": count, "oldest_age_seconds": age}, age)


def _close_snapshots(history: History) -> Suggestion:
    del history
    return Suggestion(
        action="close snapshots and iterators when they are done with: use them in with blocks",
        effect="the space is free at once, and compactions drop old versions again",
        risk="none",
    )


HEALTH_RULES = (
    Rule("background-error", _ended, _reopen),
    Rule("jobs-fail", _jobs_fail, _find_cause),
    Rule("workers-die", _workers_die, _less_memory),
    Rule("snapshots-pin", _pinned, _close_snapshots),
)
