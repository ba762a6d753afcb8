"""Why writes are stalled, or soon will be: which backlog, since when, what relieves it, and what to change.

:func:`explain` is pure: it reads the plain tree of ``Stats.to_json_dict``, so the same answer is given to the owner of
a store (``db.explain_stall()``), to another process that reads its status page, and of a store that is closed. What a
tree does not tell is left out, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lsmproc.statistics.size_text import size_text

_NEAR = 0.8  # of the trigger at which writes are slowed down
_BUSY_BYTES_PER_SECOND = 8 << 20  # of a job whose kind has not been seen yet: a slow compaction
_MOST_PROGRESS = 0.99  # an estimate never says that a job is done
_MEBIBYTE = 1 << 20

State = Literal["normal", "slowdown", "stop", "failed"]


@dataclass(frozen=True, slots=True)
class StallFinding:
    """One condition that stalls writes, is near to it, or holds back what would relieve it."""

    condition: str  # "immutable memtables", "level 0 runs", "compaction debt", "disk full", "background error", ...
    effect: Literal["stop", "slowdown", "near", "cause"]  # "cause": it is why a backlog does not shrink
    text: str
    value: int = 0
    slowdown_at: int = 0
    stop_at: int = 0


@dataclass(frozen=True, slots=True)
class StallRelief:
    """One job that makes a backlog smaller."""

    job: int
    kind: str  # "flush" or "compaction"
    level: int  # of the output
    worker: str  # its name, or "" while the job waits for one
    progress: float  # about, 0 to 1
    seconds_left: float | None  # about; None if nothing is known to judge by


@dataclass(frozen=True, slots=True)
class StallRemedy:
    """One setting to change."""

    setting: str
    value: str  # what to set it to
    why: str


@dataclass(frozen=True, slots=True)
class StallExplanation:
    """The answer to "why are my writes slow". ``str()`` of it is for people."""

    state: State  # "failed": no write is taken until the store is opened again
    seconds: float  # in this state
    since: float  # seconds since 1970
    findings: tuple[StallFinding, ...] = ()  # the worst first
    relief: tuple[StallRelief, ...] = ()
    remedies: tuple[StallRemedy, ...] = ()
    delayed_write_bytes_per_second: int = 0  # while slowed down: the speed of all writers together

    @property
    def stalled(self) -> bool:
        """Whether writes wait or are refused now."""
        return self.state != "normal"

    def to_json_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "state": self.state,
            "stalled": self.stalled,
            "seconds": self.seconds,
            "since": self.since,
            "delayed_write_bytes_per_second": self.delayed_write_bytes_per_second,
            "findings": [
                {
                    "condition": each.condition,
                    "effect": each.effect,
                    "text": each.text,
                    "value": each.value,
                    "slowdown_at": each.slowdown_at,
                    "stop_at": each.stop_at,
                }
                for each in self.findings
            ],
            "relief": [
                {
                    "job": each.job,
                    "kind": each.kind,
                    "level": each.level,
                    "worker": each.worker,
                    "progress": each.progress,
                    "seconds_left": each.seconds_left,
                }
                for each in self.relief
            ],
            "remedies": [{"setting": each.setting, "value": each.value, "why": each.why} for each in self.remedies],
        }

    def __str__(self) -> str:
        """The answer in some lines."""
        head = {
            "normal": "no stall",
            "slowdown": f"writes have been slowed down for {self.seconds:.1f} s",
            "stop": f"writes have been stopped for {self.seconds:.1f} s",
            "failed": "no write is taken: the background has failed",
        }[self.state]
        if self.state == "slowdown" and self.delayed_write_bytes_per_second:
            head += f", to {size_text(self.delayed_write_bytes_per_second)}/s together"
        texts = [finding.text for finding in self.findings]
        lines = [
            "; ".join([head, *texts]) if self.state == "normal" else head,
            *([] if self.state == "normal" else texts),
        ]
        lines += [f"relief: {_relief_text(each)}" for each in self.relief]
        if self.stalled and not self.relief:
            lines.append("relief: no job is running")
        lines += [f"change: {each.setting} = {each.value} ({each.why})" for each in self.remedies]
        return "\n".join(lines)


def explain(stats: Mapping[str, Any]) -> StallExplanation:
    """Explain the tree of ``Stats.to_json_dict``, or what there is of one."""
    stall = stats.get("stall", {})
    error = stats.get("background_error")
    state: State = "failed" if error else stall.get("state", "normal")
    backlogs = [each for each in map(_backlog, stall.get("conditions", ())) if each is not None]
    order = {"stop": 0, "slowdown": 1, "near": 2}
    # The backlog that decides comes first, whatever else is over its trigger.
    backlogs.sort(key=lambda each: (each.condition != stall.get("reason"), order[each.effect]))
    causes = _causes(stats, bool(backlogs))
    seconds = float(stall.get("seconds_in_state", 0.0))
    relief = _relief(stats)
    return StallExplanation(
        state=state,
        seconds=seconds,
        since=float(stats.get("taken_at", 0.0)) - seconds,
        findings=(*backlogs, *causes) if state != "failed" else (*causes, *backlogs),
        relief=relief,
        remedies=_remedies(stats, (*causes, *backlogs)),
        delayed_write_bytes_per_second=int(stall.get("delayed_write_bytes_per_second", 0)),
    )


def explain_closed(stats: Mapping[str, Any]) -> StallExplanation:
    """Explain a store that was opened only to be looked at: what its next owner will find."""
    levels = stats.get("levels", ())
    values = {
        "level 0 runs": levels[0]["files"] if levels else 0,
        "compaction debt": stats.get("compaction_debt_bytes", 0),
    }
    stall = dict(stats.get("stall", {}))
    stall["conditions"] = conditions = [
        {**each, "value": values.get(each["reason"], each["value"])} for each in stall.get("conditions", ())
    ]
    worst = max(conditions, key=_fullness, default=None)
    stall["seconds_in_state"] = 0.0
    if worst is not None and worst["value"] >= min(worst["slowdown_at"], worst["stop_at"]):
        stall["state"] = "stop" if worst["value"] >= worst["stop_at"] else "slowdown"
        stall["reason"] = worst["reason"]
    return explain({**stats, "stall": stall})


def _fullness(condition: Mapping[str, Any]) -> float:
    return float(condition["value"]) / max(1.0, float(condition["stop_at"]))


def _backlog(condition: Mapping[str, Any]) -> StallFinding | None:
    """What one backlog does to writes; None if it is far from its triggers."""
    reason, value = str(condition["reason"]), int(condition["value"])
    slowdown, stop = int(condition["slowdown_at"]), int(condition["stop_at"])
    first = min(slowdown, stop)
    if value >= stop:
        effect: Literal["stop", "slowdown", "near"] = "stop"
        measure = f"{_counted(reason, value)}, and writes stop at {_amount(reason, stop)}"
    elif value >= slowdown:
        effect = "slowdown"
        triggers = f"slowed down from {_amount(reason, slowdown)}, stopped at {_amount(reason, stop)}"
        measure = f"{_counted(reason, value)}, {triggers}"
    elif value and (value >= _NEAR * first or value == first - 1):
        effect = "near"
        what = "slow down" if slowdown < stop else "stop"
        measure = f"{_counted(reason, value, first)}, at which writes {what}"
    else:
        return None
    return StallFinding(reason, effect, measure, value, slowdown, stop)


def _counted(reason: str, value: int, of: int | None = None) -> str:
    limit = "" if of is None else f" of {_amount(reason, of)}"
    if reason == "level 0 runs":
        return f"level 0 has {value}{limit} runs"
    if reason == "compaction debt":
        return f"compactions are behind by {size_text(value)}{limit}"
    return f"{value}{limit} immutable memtables wait for their flush"


def _amount(reason: str, value: int) -> str:
    return size_text(value) if reason == "compaction debt" else str(value)


def _causes(stats: Mapping[str, Any], behind: bool) -> list[StallFinding]:
    """What keeps a backlog from shrinking."""
    causes = []
    error = stats.get("background_error")
    if error:
        causes.append(StallFinding("background error", "stop", f"background work has ended: {error}"))
    for kind, (name, text) in sorted(stats.get("stall", {}).get("trouble", {}).items()):
        condition = "disk full" if name == "NoSpaceError" else f"failing {kind}"
        causes.append(StallFinding(condition, "cause", f"{condition}: {kind} fail and are tried again: {text}"))
    if stats.get("compactions_paused") and behind:
        causes.append(
            StallFinding(
                "compactions paused", "cause", "compactions are paused by pause_background() or background_paused()"
            )
        )
    limited = _limit(stats)
    if limited is not None and behind:
        causes.append(limited)
    return causes


def _limit(stats: Mapping[str, Any]) -> StallFinding | None:
    """Whether the rate limiter allows less than what is written costs."""
    rate = stats.get("limiter", {}).get("bytes_per_second")
    if rate is None:
        return None
    needed = _needed_bytes_per_second(stats)
    waiting = sum(each["waiting_requests"] for each in stats["limiter"].get("priorities", {}).values())
    if rate >= needed and not waiting:
        return None
    text = f"the rate limit of {size_text(rate)}/s holds back {waiting} requests"
    if rate < needed:
        text += f"; what is written needs about {size_text(needed)}/s"
    return StallFinding("rate limit", "cause", text, int(rate), int(needed), int(needed))


def _needed_bytes_per_second(stats: Mapping[str, Any]) -> float:
    """Bytes that flushes and compactions have to write for what comes in, from what has come in so far."""
    uptime = float(stats.get("uptime_seconds", 0.0))
    written = float(stats.get("wal", {}).get("written_bytes", 0))
    incoming = written / uptime if uptime > 0 else 0.0
    return incoming * max(1.0, float(stats.get("write_amplification", 0.0)))


def _relief(stats: Mapping[str, Any]) -> tuple[StallRelief, ...]:
    """The jobs under way, with an estimate of how far they are: the worker's own where it tells, else by the clock."""
    jobs, workers = stats.get("jobs", {}), stats.get("workers", ())
    found = []
    for job in jobs.get("running", ()):
        worker = next((each for each in workers if str(each.get("job", "")).startswith(f"job {job['job']} ")), None)
        sums = jobs.get("flushes" if job["kind"] == "flush" else "compactions", {})
        size, seconds = int(job["input_bytes"]), float(job["seconds"])
        speed = sums["bytes_read"] / sums["seconds"] if sums.get("seconds") else float(_BUSY_BYTES_PER_SECOND)
        done = seconds * speed
        told = 0 if worker is None else int(worker.get("job_bytes_written", 0))
        progress = min((told or done) / size, _MOST_PROGRESS) if size and worker is not None else 0.0
        left = max(0.0, size * (1 - progress) / speed) if worker is not None and sums.get("seconds") else None
        name = "" if worker is None else str(worker["name"])
        found.append(StallRelief(job["job"], job["kind"], job["level"], name, progress, left))
    return tuple(found)


def _relief_text(relief: StallRelief) -> str:
    what = f"{relief.kind} job {relief.job} to level {relief.level}"
    if not relief.worker:
        return f"{what} waits for a free worker"
    left = "" if relief.seconds_left is None else f", about {relief.seconds_left:.1f} s left"
    return f"{what} on {relief.worker}, about {relief.progress:.0%} done{left}"


def _remedies(stats: Mapping[str, Any], findings: tuple[StallFinding, ...]) -> tuple[StallRemedy, ...]:
    """What to change, the surest first, each setting once."""
    remedies: dict[str, StallRemedy] = {}
    for finding in findings:
        for remedy in _remedies_of(finding, stats):
            remedies.setdefault(remedy.setting, remedy)
    return tuple(remedies.values())


def _remedies_of(finding: StallFinding, stats: Mapping[str, Any]) -> list[StallRemedy]:
    workers = stats.get("workers", ())
    path = stats.get("path", "the store")
    match finding.condition:
        case "background error":
            return [
                StallRemedy("the store", "close and open it again", "once the cause is gone; reads go on meanwhile")
            ]
        case "disk full":
            return [
                StallRemedy(f"the disk of {path}", "more free space", "writes go on within 5 s of it, by themselves")
            ]
        case "compactions paused":
            why = "or leave the block of background_paused(); compactions begin at once"
            return [StallRemedy("pause_background()", "undo with resume_background()", why)]
        case "rate limit":
            enough = max(2 * finding.value, int(1.5 * finding.stop_at))
            value = f"{-(-enough // _MEBIBYTE)}MiB" if enough >= _MEBIBYTE else f"{-(-enough // 1024)}KiB"
            return [StallRemedy("rate_limit_bytes_per_sec", value, "env.rate_limiter.set_rate() does it at once")]
        case "immutable memtables":
            count = max(1, sum(each.get("kind") == "flush" for each in workers))
            return [
                StallRemedy("flush_workers", str(count + 1), "flushes run side by side"),
                StallRemedy("max_immutable_memtables", str(2 * finding.stop_at), "longer bursts, for more memory"),
            ]
        case "level 0 runs" | "compaction debt" as reason:
            kind = [each for each in workers if each.get("kind") == "compaction"]
            found = []
            if kind and all(each.get("state") == "busy" for each in kind):
                found.append(StallRemedy("compaction_workers", str(len(kind) + 1), "all that there are, are busy"))
            if reason == "level 0 runs":
                found.append(
                    StallRemedy("memtable_max_bytes", "twice of what it is", "half as many runs, for more memory")
                )
                stop = finding.stop_at + finding.stop_at // 2
                found.append(StallRemedy("level0_stop_writes_trigger", str(stop), "longer bursts, for slower reads"))
            else:
                more = size_text(2 * finding.stop_at).replace(" ", "")
                found.append(StallRemedy("hard_pending_compaction_bytes", more, "longer bursts, for more disk"))
            return found
        case _:
            return []
