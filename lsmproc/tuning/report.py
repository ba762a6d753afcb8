"""Advice as text for people, as plain data for machines, and as a profile that ``LSMConfig.from_toml`` reads."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lsmproc.config import LSMConfig
from lsmproc.tuning.advice import Advice, Finding


def advice_text(advice: Advice) -> str:
    """One paragraph for each finding, and on how much all rests."""
    paragraphs = [_paragraph(number, finding) for number, finding in enumerate(advice.findings, 1)]
    if not advice.findings:
        paragraphs.append("nothing to say" if advice.has_evidence else "nothing to say: nothing is known of its work")
    paragraphs += [
        f"{rule}: held back; its figures are from before a setting was changed, look again later"
        for rule in advice.held_back
    ]
    return "\n".join([*paragraphs, f"({evidence_text(advice)})"])


def evidence_text(advice: Advice) -> str:
    """On how much evidence the advice rests."""
    history = advice.history
    reads, writes = history.table("reads"), history.table("writes")
    done = (
        sum(int(reads.get(name, 0)) for name in ("gets", "scans")),
        sum(int(writes.get(name, 0)) for name in ("puts", "deletes", "batch_records")),
    )
    figures = f"figures of {history.uptime_seconds:.0f} s with {done[0]:,} reads and {done[1]:,} writes"
    if not history.stats:
        figures = "no figures: the store has left no status page"
    events = f"{len(history.events)} events of {history.span_seconds:.0f} s"
    return f"judged by {figures}; {events if history.events else 'no events in LOG'}"


def advice_tree(advice: Advice) -> dict[str, Any]:
    """Everything as plain data; names only grow."""
    return {
        "findings": [_tree(finding) for finding in advice.findings],
        "held_back": list(advice.held_back),
        "evidence": {
            "text": evidence_text(advice),
            "uptime_seconds": advice.history.uptime_seconds,
            "events": len(advice.history.events),
            "window_seconds": advice.history.span_seconds,
        },
    }


def advice_toml(advice: Advice, path: str) -> str:
    """A file of settings: those of the store that are not the default, with the changes, each under its reason."""
    before, after = advice.history.config, advice.config
    by_setting = {change.setting: finding for finding in advice.findings for change in finding.changes}
    lines = [f"# The settings of {path!r} with the changes that lsmproc tune suggests.", f"# {evidence_text(advice)}"]
    for setting in fields(LSMConfig):
        name, option = setting.name, setting.metadata["option"]
        value = getattr(after, name)
        if name in by_setting:
            finding = by_setting[name]
            lines += ["", f"# {finding.rule}: {finding.evidence.text}", f"# Risk: {finding.suggestion.risk}"]
            lines += [f"# Was {option.write(getattr(before, name))}."]
        if name != "data_dir" and (name in by_setting or value != setting.default):
            lines.append(f"{name} = {option.write(value)}")
    return "\n".join(line.replace("\n", " ") for line in lines) + "\n"


def _paragraph(number: int, finding: Finding) -> str:
    suggestion, evidence = finding.suggestion, finding.evidence
    lines = [f"{number}. {finding.rule}: {evidence.text} (in {evidence.seconds:.0f} s)"]
    lines.append(f"   do:     {suggestion.action}")
    lines += [f"   change: {each.setting} from {each.before} to {each.after}" for each in finding.changes]
    if finding.waits_for:
        lines.append(f"   change: none yet; {finding.waits_for} comes first: follow it and look again")
    lines += [f"   effect: {suggestion.effect}", f"   risk:   {suggestion.risk}", ""]
    return "\n".join(lines)


def _tree(finding: Finding) -> dict[str, Any]:
    evidence, suggestion = finding.evidence, finding.suggestion
    return {
        "rule": finding.rule,
        "evidence": {"text": evidence.text, "seconds": evidence.seconds, "figures": dict(evidence.figures)},
        "action": suggestion.action,
        "changes": [{"setting": each.setting, "from": each.before, "to": each.after} for each in finding.changes],
        "waits_for": finding.waits_for,
        "effect": suggestion.effect,
        "risk": suggestion.risk,
    }
