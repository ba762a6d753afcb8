"""Every rule fires on a history that calls for it, and is silent on the nearest one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lsmproc.tuning.advice import advise
from lsmproc.tuning.history import History
from lsmproc.tuning.rules import RULES

Recorded = Callable[[str], History]
Altered = Callable[..., History]
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """A rule, what makes it fire, and one difference that must keep it silent."""

    rule: str
    base: str
    fires: dict[str, Any] = field(default_factory=dict)
    silent: dict[str, Any] = field(default_factory=dict)


FAILING = ({"event": "job_failing", "kind": "flush", "error": "StorageError", "message": "disk on fire"},)
DIED = ({"event": "worker_died", "worker": "compaction-1"},)
PINNED = {"snapshots.pinned_bytes": 64 * MIB, "snapshots.count": 1, "snapshots.oldest_age_seconds": 900.0}
SYNCS = {"operations.log_sync": {"count": 400, "p99_seconds": 0.031}}
FILTERS = [{"level": 1, "probes": 900, "negatives": 800, "false_positives": 60}]
FEW_FILTERS = [{"level": 1, "probes": 900, "negatives": 855, "false_positives": 5}]
ROWS = {"row_cache.limit_bytes": 8 * MIB, "row_cache.bytes": 8 * MIB, "row_cache.hit_ratio": 0.5}
SAMPLED = {"reads.samples": 300}
MANY_MISSING = {"reads.samples": 300, "reads.sources": {"none": 120}}
DEBT_STALLS = {"stall.stalls": {"compaction debt": 3}, "stall.seconds": {"compaction debt": 1.2}}
BUSY = {"jobs.running": [{"kind": "compaction", "seconds": 1.5}]}
LIMITED = {"limiter.bytes_per_second": 1000, "limiter.granted_bytes": 10 * MIB}
AUTO = {"rate_limit_auto": True, "rate_limit_bytes_per_sec": 512 << 10}
BIG = {"space_amplification": 3.4, "levels.1.bytes": 900 * MIB}
SMALL_LEVELS = {"memtable_max_bytes": 16 * MIB, "level_base_bytes": 8 * MIB}
FULL_LEVEL1 = {"levels.1.bytes_written": 900 * MIB, "levels.1.write_amplification": 5.5}

CASES = (
    Case("background-error", "calm", {"figures": {"background_error": "a bad sector"}}),
    Case("jobs-fail", "calm", {"events": FAILING * 3}, {"events": FAILING * 2}),
    Case("workers-die", "calm", {"events": DIED * 3}, {"events": DIED * 2}),
    Case(
        "snapshots-pin",
        "calm",
        {"figures": PINNED},
        {"figures": {**PINNED, "snapshots.oldest_age_seconds": 2.0}},
    ),
    Case("limiter-saturated", "limited", {}, {"figures": {"limiter.bytes_per_second": None}}),
    Case(
        "limiter-saturated", "limited", {"settings": AUTO}, {"settings": {**AUTO, "rate_limit_bytes_per_sec": 8 * MIB}}
    ),
    Case("workers-idle", "paused", {}, {"figures": {"levels.0.files": 3}}),
    Case("workers-short", "level0", {"cpus": 8, "figures": BUSY}, {"cpus": 2, "figures": BUSY}),
    Case(
        "workers-above-cores",
        "calm",
        {"settings": {"compaction_workers": 8}, "cpus": 4},
        {"settings": {"compaction_workers": 4}, "cpus": 4},
    ),
    Case("memtable-small", "small-memtable", {}, {"span_seconds": 900.0}),
    Case("stall-memtables", "level0", {}, {"figures": LIMITED}),
    Case("stall-level0", "level0", {}, {"cpus": 8, "figures": BUSY}),
    Case(
        "stall-debt",
        "calm",
        {"without_events": True, "figures": DEBT_STALLS},
        {"without_events": True, "figures": {**DEBT_STALLS, "stall.seconds": {"compaction debt": 0.001}}},
    ),
    Case(
        "log-sync-slow",
        "calm",
        {"settings": {"wal_sync": "every_write"}, "figures": SYNCS},
        {"settings": {"wal_sync": "none"}, "figures": SYNCS},
    ),
    Case(
        "level-ratio",
        "calm",
        {"settings": SMALL_LEVELS, "figures": FULL_LEVEL1},
        {"settings": {**SMALL_LEVELS, "level_base_bytes": 64 * MIB}, "figures": FULL_LEVEL1},
    ),
    Case("space-amplification", "calm", {"figures": BIG}, {"figures": {**BIG, "space_amplification": 1.4}}),
    Case("cache-misses", "cold-cache", {}, {"figures": {"block_cache.hits": 10_000_000}}),
    Case("row-cache", "cold-cache", {"figures": {"block_cache.hits": 10_000_000}}, {}),
    Case(
        "row-cache",
        "calm",
        {"figures": ROWS | SAMPLED},
        {"figures": ROWS | SAMPLED | {"row_cache.hit_ratio": 0.03}},
    ),
    Case(
        "filter-false-positives",
        "calm",
        {"figures": {"reads.filters": FILTERS}},
        {"figures": {"reads.filters": FEW_FILTERS}},
    ),
    Case(
        "filter-missing",
        "calm",
        {"settings": {"filter": "none"}, "figures": MANY_MISSING},
        {"settings": {"filter": "bloom"}, "figures": MANY_MISSING},
    ),
)


def _fired(history: History) -> list[str]:
    return [finding.rule for finding in advise(history).findings]


def _history(altered: Altered, base: str, difference: dict[str, Any]) -> History:
    given = dict(difference)
    without = given.pop("without_events", False)
    history = altered(base, **given)
    return replace(history, events=()) if without else history


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.base}")
def test_a_rule_fires_where_it_is_called_for(altered: Altered, case: Case) -> None:
    """With evidence in numbers, an effect and a risk."""
    advice = advise(_history(altered, case.base, case.fires))
    finding = next((each for each in advice.findings if each.rule == case.rule), None)
    assert finding is not None, [each.rule for each in advice.findings]
    assert finding.evidence.text
    assert finding.suggestion.effect
    assert finding.suggestion.risk


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.base}")
def test_a_rule_is_silent_where_it_is_not(altered: Altered, case: Case) -> None:
    """One figure or setting away from the case in which it fires."""
    assert case.rule not in _fired(_history(altered, case.base, case.silent))


def test_every_rule_has_a_case_and_a_name_of_its_own() -> None:
    """None is added without a history in which it must not fire."""
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) == {case.rule for case in CASES}


def test_a_calm_run_gives_nothing_to_say(recorded: Recorded) -> None:
    """Paced puts and gets on the defaults."""
    assert [] == _fired(recorded("calm"))


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("cold-cache", ["cache-misses"]),
        ("limited", ["limiter-saturated"]),
        ("paused", ["workers-idle"]),
        ("level0", ["memtable-small", "stall-memtables", "stall-level0"]),
    ],
)
def test_a_real_run_is_told_what_was_wrong_with_it_and_nothing_else(
    recorded: Recorded, name: str, rules: list[str]
) -> None:
    """The cause stands before what it causes."""
    assert rules == _fired(recorded(name))


def test_a_saturated_limiter_is_answered_by_a_higher_rate_and_not_by_workers(altered: Altered) -> None:
    """However many cores are idle."""
    advice = advise(altered("limited", cpus=16))
    assert {"rate_limit_bytes_per_sec"} == set(advice.values)
    assert advice.config.rate_limit_bytes_per_sec >= 2 * (512 << 10)
