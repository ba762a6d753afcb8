"""What is known of a store when it is judged: its settings, its last figures, its events in a window, its machine.

Figures are the tree of ``Stats.to_json_dict``: states of the last moment, and sums since the store was opened. Events
are those of LOG, of the last opening only and behind the last change of a setting, so that they tell of these settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lsmproc.config import LSMConfig

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StallSums:
    """What one backlog did to writes, over ``span_seconds``."""

    times: int = 0
    slowed_seconds: float = 0.0
    stopped_seconds: float = 0.0
    span_seconds: float = 0.0

    @property
    def share(self) -> float:
        """Of the time; 0 for no time."""
        return (self.slowed_seconds + self.stopped_seconds) / self.span_seconds if self.span_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One store over a window of time that ends at ``end``. Immutable."""

    config: LSMConfig
    stats: Tree = field(default_factory=dict)
    events: tuple[Tree, ...] = ()  # oldest first
    end: float = 0.0  # seconds since 1970: the last sign of the owner
    span_seconds: float = 0.0  # of the events
    changed: frozenset[str] = frozenset()  # settings that were changed since the opening: sums tell of both values
    cpus: int = 1
    memory_bytes: int | None = None  # of the machine or the group; None if not known

    def figure(self, *path: str | int) -> float:
        """A figure by its place in the tree; 0 where the owner's release does not tell it."""
        found = self._at(path)
        return float(found) if isinstance(found, (int, float)) else 0.0

    def table(self, *path: str | int) -> Tree:
        """A mapping in the tree; empty where there is none."""
        found = self._at(path)
        return found if isinstance(found, Mapping) else {}

    def rows(self, *path: str | int) -> list[Tree]:
        """A list of mappings in the tree; empty where there is none."""
        found = self._at(path)
        return [row for row in found if isinstance(row, Mapping)] if isinstance(found, (list, tuple)) else []

    @property
    def uptime_seconds(self) -> float:
        """How long the sums were added up."""
        return self.figure("uptime_seconds")

    @property
    def free_cpus(self) -> int:
        """Cores that neither the owner nor one of its workers has for itself."""
        cores = self.cpus if self.config.worker_cpus is None else min(self.cpus, len(self.config.worker_cpus) + 1)
        return max(0, cores - 1 - self.config.flush_workers - self.config.compaction_workers)

    @property
    def level0_runs(self) -> int:
        """Tables of level 0 now."""
        return int(self.figure("levels", 0, "files"))

    @property
    def table_bytes(self) -> float:
        """Of all tables now."""
        return sum(number(level, "bytes") for level in self.rows("levels"))

    @property
    def behind(self) -> bool:
        """Whether compactions lag now, or writes were stalled for it: more than is due is waiting, not a moment's."""
        conditions = {str(row.get("reason")): row for row in self.rows("stall", "conditions")}
        near = any(
            number(conditions.get(reason, {}), "value") * 2 >= number(conditions.get(reason, {}), "slowdown_at") > 0
            for reason in ("level 0 runs", "compaction debt")
        )
        return near or any(self.stalls(reason).share > 0 for reason in ("level 0 runs", "compaction debt"))

    def of_kind(self, *kinds: str) -> list[Tree]:
        """The events of these kinds, oldest first."""
        return [event for event in self.events if event.get("event") in kinds]

    def stalls(self, reason: str) -> StallSums:
        """What writes waited for: by the events of the window, or where there is no LOG, the sums."""
        if self.events:
            return _stalls_of(self.of_kind("stall_changed"), reason, self.end, self.span_seconds)
        times, seconds = self.figure("stall", "stalls", reason), self.figure("stall", "seconds", reason)
        return StallSums(int(times), seconds, 0.0, self.uptime_seconds)

    def busy_share(self, kind: str) -> float:
        """How much of the time the workers of a kind, "flushes" or "compactions", had a job: 0 to 1."""
        workers = self.config.flush_workers if kind == "flushes" else self.config.compaction_workers
        one = "flush" if kind == "flushes" else "compaction"
        running = sum(number(job, "seconds") for job in self.rows("jobs", "running") if job.get("kind") == one)
        if self.events:
            seconds = sum(number(event, "seconds") for event in self.of_kind(f"{one}_finished"))
            span = self.span_seconds
        else:
            seconds, span = self.figure("jobs", kind, "seconds"), self.uptime_seconds
        return min(1.0, (seconds + running) / (span * workers)) if span > 0 else 0.0

    @property
    def limiter_share(self) -> float:
        """How much of what the rate limiter allowed was taken, since the opening; 0 without a limit."""
        rate = self.figure("limiter", "bytes_per_second")
        return self.figure("limiter", "granted_bytes") / (rate * self.uptime_seconds) if self._limited(rate) else 0.0

    @property
    def limiter_saturated(self) -> bool:
        """Whether the limit, and not the work itself, decides how fast the workers are."""
        jobs = self.figure("jobs", "flushes", "seconds") + self.figure("jobs", "compactions", "seconds")
        waited = self.figure("limiter", "waited_seconds")
        waiting = sum(number(each, "waiting_requests") for each in self.table("limiter", "priorities").values())
        return self.limiter_share >= 0.8 or (self.limiter_share > 0 and (waited >= 0.3 * jobs > 0 or waiting >= 2))

    def _limited(self, rate: float) -> bool:
        return rate > 0 and self.uptime_seconds > 0

    def _at(self, path: Iterable[str | int]) -> Any:
        found: Any = self.stats
        for name in path:
            if isinstance(found, Mapping):
                found = found.get(name)
            elif isinstance(found, (list, tuple)) and isinstance(name, int) and name < len(found):
                found = found[name]
            else:
                return None
        return found


def number(tree: Tree, name: str) -> float:
    """A number in a mapping of unknown origin; 0 if it is none."""
    found = tree.get(name)
    return float(found) if isinstance(found, (int, float)) else 0.0


def event_time(event: Tree) -> float:
    """When it was, in seconds since 1970; 0 if it does not tell."""
    try:
        return datetime.fromisoformat(str(event.get("time"))).timestamp()
    except ValueError:
        return 0.0


def events_to_judge(events: Iterable[Tree], end: float, window_seconds: float) -> tuple[tuple[Tree, ...], float]:
    """The events of the last opening, since the last change of settings, in the window; and how long that is."""
    kept: list[Tree] = []
    start = end - window_seconds
    since = start
    for event in events:
        time = event_time(event)
        if event.get("event") in {"store_opened", "options_changed"}:
            kept, since = [], max(start, time)
        if start <= time <= end:
            kept.append(event)
    return tuple(kept), max(0.0, end - since)


def settings_changed(events: Iterable[Tree]) -> frozenset[str]:
    """The settings that were changed since the last opening."""
    names: set[str] = set()
    for event in events:
        if event.get("event") == "store_opened":
            names.clear()
        after = event.get("after")
        if event.get("event") == "options_changed" and isinstance(after, Mapping):
            names.update(map(str, after))
    return frozenset(names)


def _stalls_of(events: list[Tree], reason: str, end: float, span: float) -> StallSums:
    times, seconds = 0, {"slowdown": 0.0, "stop": 0.0}
    for event, following in zip(events, [*events, None][1:], strict=True):
        if event.get("reason") != reason or event.get("after") not in seconds:
            continue
        times += event.get("before") == "normal"
        until = end if following is None else event_time(following)
        seconds[str(event["after"])] += max(0.0, until - event_time(event))
    return StallSums(times, seconds["slowdown"], seconds["stop"], span)
