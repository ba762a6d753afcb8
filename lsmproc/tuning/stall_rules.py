"""Rules about writes that wait: for flushes, for level 0, for compactions that are behind, and who is in the way."""

from __future__ import annotations

from lsmproc.statistics.size_text import size_text
from lsmproc.tuning.history import History
from lsmproc.tuning.rule import Evidence, Rule, Suggestion

_LEAST_STALL_SECONDS = 0.2
_LEAST_STALL_SHARE = 0.002  # of the time: less than so much is not felt
_BUSY = 0.8
_IDLE = 0.2
_AT_CEILING = 0.9  # of an automatic rate
_MEBIBYTE = 1 << 20
_MOST_MEMTABLES, _LARGEST_MEMTABLE = 64, 1 << 30


def _stalled(history: History, reason: str) -> Evidence | None:
    sums = history.stalls(reason)
    seconds = sums.slowed_seconds + sums.stopped_seconds
    if seconds < _LEAST_STALL_SECONDS or sums.share < _LEAST_STALL_SHARE:
        return None
    text = f"writes waited {seconds:.1f} s ({sums.share:.1%} of the time) for {reason}"
    text += f", {sums.stopped_seconds:.1f} s of them stopped" if history.events else ""
    figures = {
        "times": sums.times,
        "slowed_seconds": sums.slowed_seconds,
        "stopped_seconds": sums.stopped_seconds,
        "share": sums.share,
    }
    return Evidence(text, figures, sums.span_seconds)


def _memtables_stall(history: History) -> Evidence | None:
    return None if history.limiter_saturated else _stalled(history, "immutable memtables")


def _more_memtables(history: History) -> Suggestion:
    config = history.config
    values: dict[str, object] = {"max_immutable_memtables": min(_MOST_MEMTABLES, 2 * config.max_immutable_memtables)}
    action = "let more memtables wait for their flush"
    if history.busy_share("flushes") >= _BUSY and history.free_cpus:
        values = {"flush_workers": config.flush_workers + 1, **values}
        action = "flush with one worker more, and let more memtables wait"
    memory = size_text(config.max_immutable_memtables * config.memtable_max_bytes * 3)
    return Suggestion(
        action=action,
        values=values,
        effect="bursts of twice the length pass without a stall",
        risk=f"up to {memory} more memory with small values, and a longer recovery",
    )


def _level0_stalls(history: History) -> Evidence | None:
    blamed = history.limiter_saturated or _workers_short(history) or _idle_workers(history)
    return None if blamed else _stalled(history, "level 0 runs")


def _larger_level0(history: History) -> Suggestion:
    config = history.config
    return Suggestion(
        action="bring fewer and larger runs into level 0, and slow writes down later",
        values={
            "memtable_max_bytes": min(_LARGEST_MEMTABLE, 2 * config.memtable_max_bytes),
            "level0_slowdown_writes_trigger": config.level0_slowdown_writes_trigger * 3 // 2,
            "level0_stop_writes_trigger": config.level0_stop_writes_trigger * 3 // 2 + 1,
        },
        effect="half as many runs for the same writes, and longer bursts before a stall",
        risk="twice the memory of memtables; reads ask more runs while level 0 is full",
    )


def _debt_stalls(history: History) -> Evidence | None:
    blamed = history.limiter_saturated or _workers_short(history)
    return None if blamed else _stalled(history, "compaction debt")


def _more_debt(history: History) -> Suggestion:
    config = history.config
    return Suggestion(
        action="allow more compaction debt",
        values={
            "soft_pending_compaction_bytes": 2 * config.soft_pending_compaction_bytes,
            "hard_pending_compaction_bytes": 2 * config.hard_pending_compaction_bytes,
        },
        effect="bursts of twice the size pass without a stall; a load that never pauses is only stalled later",
        risk=f"up to {size_text(config.hard_pending_compaction_bytes)} more disk, and a larger tree to read",
    )


def _limiter_holds_back(history: History) -> Evidence | None:
    waits = history.stalls("immutable memtables").share
    if not history.limiter_saturated or not (history.behind or waits):
        return None
    rate, share = history.figure("limiter", "bytes_per_second"), history.limiter_share
    ceiling = history.config.rate_limit_bytes_per_sec
    if history.config.rate_limit_auto and (ceiling is None or rate < _AT_CEILING * ceiling):
        return None  # The rate follows the writes, and has room to do so.
    runs, debt = history.level0_runs, history.figure("compaction_debt_bytes")
    waited = history.figure("limiter", "waited_seconds")
    text = (
        f"{share:.0%} of the rate limit of {size_text(rate)}/s is taken, jobs waited {waited:.1f} s for it, "
        f"level 0 has {runs} runs and compactions are behind by {size_text(debt)}"
    )
    figures = {"share": share, "waited_seconds": waited, "level0_runs": runs, "compaction_debt_bytes": debt}
    return Evidence(text, {"bytes_per_second": rate, **figures}, history.uptime_seconds)


def _higher_rate(history: History) -> Suggestion:
    rate = history.figure("limiter", "bytes_per_second")
    incoming = history.figure("wal", "written_bytes") / max(1e-3, history.uptime_seconds)
    needed = 1.5 * incoming * max(2.0, history.figure("write_amplification"))
    wanted = max(2 * rate, needed)
    return Suggestion(
        action="raise the rate (set_rate() does it while the store is open); more workers would wait for it as well",
        values={"rate_limit_bytes_per_sec": -(-int(wanted) // _MEBIBYTE) * _MEBIBYTE},
        effect="compactions keep up, and the backlog is worked off",
        risk="background writes take more of the disk: reads and syncs of the log may take longer meanwhile",
    )


def _idle_workers(history: History) -> Evidence | None:
    config, busy = history.config, history.busy_share("compactions")
    span = history.span_seconds if history.events else history.uptime_seconds
    waiting = history.level0_runs >= max(4, config.level0_slowdown_writes_trigger // 2)
    if not waiting or busy >= _IDLE or history.limiter_saturated or span < 1.0:
        return None
    figures = {"level0_runs": float(history.level0_runs), "busy_share": busy}
    text = f"level 0 has {history.level0_runs} runs while compaction workers are busy {busy:.0%} of the time"
    return Evidence(text, figures, span)


def _start_earlier(history: History) -> Suggestion:
    config = history.config
    if history.stats.get("compactions_paused"):
        return Suggestion(
            action="end the pause: resume_background(), or leave the block of background_paused()",
            effect="compactions begin at once",
            risk="none but their load",
        )
    trigger = max(2, config.level0_slowdown_writes_trigger // 4)
    if config.level0_compaction_trigger > 2 * trigger:
        return Suggestion(
            action="compact level 0 earlier",
            values={"level0_compaction_trigger": trigger},
            effect="work begins before writes are near a stall, and reads ask fewer runs",
            risk="each record is rewritten somewhat more often",
        )
    return Suggestion(
        action="look why jobs do not run: lsmproc why PATH, and job_failing in LOG; more workers would be idle too",
        effect="the backlog is worked off by the workers there are",
        risk="none",
    )


def _workers_short(history: History) -> Evidence | None:
    config, busy = history.config, history.busy_share("compactions")
    if config.background != "process" or busy < _BUSY or not history.behind or not history.free_cpus:
        return None
    if history.limiter_saturated:
        return None
    span = history.span_seconds if history.events else history.uptime_seconds
    text = (
        f"compactions are behind, their {config.compaction_workers} workers are busy {busy:.0%} of the time, "
        f"and {history.free_cpus} of {history.cpus} cores have neither a worker nor the owner"
    )
    return Evidence(text, {"busy_share": busy, "free_cpus": history.free_cpus, "cpus": history.cpus}, span)


def _one_worker_more(history: History) -> Suggestion:
    return Suggestion(
        action="compact with one worker more",
        values={"compaction_workers": history.config.compaction_workers + 1},
        effect="level 0 and the debt are worked off faster, if the disk has room to spare",
        risk="one process of about 20 MiB, and up to one core",
    )


def _workers_above_cores(history: History) -> Evidence | None:
    config = history.config
    cores = history.cpus if config.worker_cpus is None else min(history.cpus, len(config.worker_cpus))
    if config.background != "process" or config.compaction_workers <= max(2, cores):
        return None
    text = f"{config.compaction_workers} compaction workers share {cores} cores"
    return Evidence(text, {"compaction_workers": config.compaction_workers, "cpus": cores}, history.uptime_seconds)


def _as_many_as_cores(history: History) -> Suggestion:
    config = history.config
    cores = history.cpus if config.worker_cpus is None else min(history.cpus, len(config.worker_cpus))
    return Suggestion(
        action="run no more compaction workers than there are cores",
        values={"compaction_workers": max(2, cores)},
        effect="the same work with less memory, and less taken from the owner",
        risk="fewer compactions side by side, where most of their time is waiting for the disk",
    )


WORKER_RULES = (
    Rule("limiter-saturated", _limiter_holds_back, _higher_rate, sums=True),
    Rule("workers-idle", _idle_workers, _start_earlier),
    Rule("workers-short", _workers_short, _one_worker_more),
    Rule("workers-above-cores", _workers_above_cores, _as_many_as_cores),
)
STALL_RULES = (
    Rule("stall-memtables", _memtables_stall, _more_memtables, after="memtable-small"),
    Rule("stall-level0", _level0_stalls, _larger_level0, after="memtable-small"),
    Rule("stall-debt", _debt_stalls, _more_debt),
)
