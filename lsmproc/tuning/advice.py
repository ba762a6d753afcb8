"""Makes advice out of a History: the findings of all rules that fire, and one set of changes that works together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lsmproc.config import LSMConfig
from lsmproc.errors import ConfigError
from lsmproc.tuning.history import History
from lsmproc.tuning.rule import Evidence, Rule, Suggestion
from lsmproc.tuning.rules import RULES


@dataclass(frozen=True, slots=True)
class Change:
    """One setting, with both values as TOML writes them."""

    setting: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired."""

    rule: str
    evidence: Evidence
    suggestion: Suggestion
    changes: tuple[Change, ...] = ()  # all that are suggested, or none
    waits_for: str = ""  # an earlier finding, which is the cause or changes the same setting: this may go with it


@dataclass(frozen=True, slots=True)
class Advice:
    """All findings; ``config`` has their changes, and is that of the history if there are none."""

    history: History
    findings: tuple[Finding, ...]
    config: LSMConfig
    values: Mapping[str, object]  # the changed settings
    held_back: tuple[str, ...]  # rules that would fire on sums from before a change of their own setting

    @property
    def has_evidence(self) -> bool:
        """Whether there was anything to judge by."""
        return bool(self.history.stats or self.history.events)


def advise(history: History, rules: Sequence[Rule] = RULES) -> Advice:
    """What the rules say of a store."""
    findings: list[Finding] = []
    held_back: list[str] = []
    config, values = history.config, dict[str, object]()
    for rule in rules:
        evidence = rule.condition(history)
        if evidence is None:
            continue
        suggestion = rule.suggestion(history)
        if rule.sums and history.changed.intersection(suggestion.values):
            held_back.append(rule.name)
            continue
        waits_for = _first_of(rule, suggestion, findings)
        changed = None if waits_for else _changed(config, suggestion.values)
        fresh = dict(suggestion.values) if changed is not None else {}
        config, values = changed or config, values | fresh
        findings.append(Finding(rule.name, evidence, suggestion, _changes(history.config, fresh), waits_for))
    return Advice(history, tuple(findings), config, values, tuple(held_back))


def _first_of(rule: Rule, suggestion: Suggestion, findings: Sequence[Finding]) -> str:
    """The finding whose changes come before those of this rule, or none."""
    for each in findings:
        changed = {change.setting for change in each.changes}
        if each.rule == rule.after or not changed.isdisjoint(suggestion.values):
            return each.rule
    return ""


def _changes(config: LSMConfig, values: Mapping[str, object]) -> tuple[Change, ...]:
    """What is new in ``values``, as people write settings."""
    options: dict[str, Any] = {each.name: each.metadata["option"] for each in fields(config)}
    return tuple(
        Change(name, options[name].write(getattr(config, name)), options[name].write(value))
        for name, value in values.items()
        if value != getattr(config, name)
    )


def _changed(config: LSMConfig, values: Mapping[str, Any]) -> LSMConfig | None:
    """The config with new values; None where a setting is at its limit: then only the finding's words help."""
    try:
        return config.replace(**values)
    except ConfigError:
        return None
