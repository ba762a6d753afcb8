"""How findings become one set of changes, and a profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsmproc.config import LSMConfig
from lsmproc.tuning.advice import advise
from lsmproc.tuning.history import History, events_to_judge, settings_changed
from lsmproc.tuning.report import advice_text, advice_toml, advice_tree

Recorded = Callable[[str], History]
Altered = Callable[..., History]


def _at(second: int, event: str, **fields: Any) -> dict[str, Any]:
    return {"time": f"1970-01-01T00:00:{second:02}.000Z", "event": event, **fields}


def test_of_two_findings_with_one_cause_or_setting_the_first_changes_it(recorded: Recorded) -> None:
    """The second names the first and changes nothing, not even its other settings."""
    findings = {each.rule: each for each in advise(recorded("level0")).findings}
    assert ("memtable-small", ()) == (findings["stall-level0"].waits_for, findings["stall-level0"].changes)
    assert ("memtable-small", ()) == (findings["stall-memtables"].waits_for, findings["stall-memtables"].changes)
    assert "memtable_max_bytes" in {each.setting for each in findings["memtable-small"].changes}


def test_a_stall_of_memtables_of_good_size_is_answered_by_more_of_them(altered: Altered) -> None:
    """Then nothing comes before it."""
    advice = advise(altered("level0", settings={"memtable_max_bytes": 1 << 20}))
    assert 8 == advice.values["max_immutable_memtables"]


def test_the_changes_hold_together_as_a_config(recorded: Recorded) -> None:
    """What is suggested is what the new config has, and it is a valid one."""
    advice = advise(recorded("level0"))
    assert dict(advice.values) == {name: getattr(advice.config, name) for name in advice.values}
    assert advice.config != advice.history.config


@pytest.mark.parametrize("name", ["level0", "limited", "cold-cache", "small-memtable", "calm"])
def test_the_written_profile_loads_as_the_suggested_config(recorded: Recorded, tmp_path: Path, name: str) -> None:
    """With the settings that the store had, and the changes."""
    advice = advise(recorded(name))
    (tmp_path / "tuned.toml").write_text(advice_toml(advice, "/data/\nstore"))
    assert advice.config == LSMConfig.from_toml(tmp_path / "tuned.toml", data_dir="/data/store")


def test_a_setting_at_its_limit_is_not_raised_beyond_it(altered: Altered) -> None:
    """The finding stays, with its words."""
    history = altered("limited", settings={"rate_limit_bytes_per_sec": 1 << 40})
    enough = replace(
        history, stats={**history.stats, "limiter": {**history.stats["limiter"], "bytes_per_second": 1 << 40}}
    )
    waiting = {"deeper": {"waiting_requests": 3}}
    stats = {**enough.stats, "limiter": {**enough.stats["limiter"], "priorities": waiting}}
    advice = advise(replace(enough, stats=stats))
    assert [("limiter-saturated", ())] == [(each.rule, each.changes) for each in advice.findings]
    assert advice.config == history.config


def test_sums_from_before_a_change_of_their_setting_do_not_repeat_the_advice(altered: Altered) -> None:
    """They were added up under the old value; the report says that it waits."""
    advice = advise(altered("cold-cache", changed=frozenset({"block_cache_bytes"})))
    assert ((), ("cache-misses",)) == (advice.findings, advice.held_back)
    assert "held back" in advice_text(advice)


def test_nothing_to_say_tells_on_how_much_evidence(recorded: Recorded) -> None:
    """A store that has done nothing is not a store that is well."""
    text = advice_text(advise(recorded("calm")))
    assert text.startswith("nothing to say\n(judged by figures of 2 s with ")
    empty = History(config=LSMConfig(data_dir="/data/store"))
    assert "nothing is known" in advice_text(advise(empty))


def test_the_json_holds_evidence_change_effect_and_risk(recorded: Recorded) -> None:
    """Names for machines, values as people write them."""
    (finding,) = json.loads(json.dumps(advice_tree(advise(recorded("cold-cache")))))["findings"]
    assert {"setting": "block_cache_bytes", "from": '"256KiB"', "to": '"23MiB"'} == finding["changes"][0]
    assert finding["evidence"]["figures"]["hit_ratio"] < 0.8
    assert {"rule", "evidence", "action", "changes", "waits_for", "effect", "risk"} == set(finding)


def test_events_count_from_the_last_opening_and_the_last_change() -> None:
    """What was before tells of other settings."""
    events = [_at(1, "flush_finished"), _at(10, "store_opened"), _at(20, "flush_finished"), _at(30, "options_changed")]
    events.append(_at(40, "flush_finished"))
    kept, seconds = events_to_judge(events, 50.0, 600.0)
    assert (["options_changed", "flush_finished"], 20.0) == ([each["event"] for each in kept], seconds)


def test_events_before_the_window_do_not_count() -> None:
    """Nor does the time before it."""
    events = [_at(10, "store_opened"), _at(20, "flush_finished"), _at(45, "flush_finished")]
    kept, seconds = events_to_judge(events, 50.0, 15.0)
    assert (1, 15.0) == (len(kept), seconds)


def test_a_new_opening_forgets_what_was_changed_before() -> None:
    """Its sums begin anew."""
    change = _at(1, "options_changed", after={"block_cache_bytes": 1})
    assert frozenset({"block_cache_bytes"}) == settings_changed([change])
    assert frozenset() == settings_changed([change, _at(2, "store_opened")])


def test_a_stall_lasts_until_the_next_event_of_its_kind_or_the_end() -> None:
    """Slowed and stopped are told apart; other reasons count elsewhere."""
    level0, debt = "level 0 runs", "compaction debt"
    events = (
        _at(10, "stall_changed", before="normal", after="slowdown", reason=level0),
        _at(12, "stall_changed", before="slowdown", after="stop", reason=level0),
        _at(15, "stall_changed", before="stop", after="slowdown", reason=debt),
        _at(16, "stall_changed", before="slowdown", after="normal", reason="none"),
        _at(18, "stall_changed", before="normal", after="stop", reason=level0),
    )
    history = History(config=LSMConfig(data_dir="/data/store"), events=events, end=20.0, span_seconds=20.0)
    sums = history.stalls(level0)
    assert (2, 2.0, 5.0, 0.35) == (sums.times, sums.slowed_seconds, sums.stopped_seconds, sums.share)
    assert 1.0 == history.stalls(debt).slowed_seconds
