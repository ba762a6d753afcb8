"""The dashboard and the alert rules: real JSON and YAML, about metrics and labels that are exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import lsmproc
from lsmproc.metrics.exposition import exposition
from lsmproc.metrics.families import FAMILIES, LATENCY_NAME, PREFIX, UP_NAME
from lsmproc.metrics.store_metrics import looks_of

NAMES = {PREFIX + name for name in (UP_NAME, *(family.name for family in FAMILIES))}
NAMES |= {PREFIX + LATENCY_NAME + end for end in ("", "_sum", "_count")}


def _file(name: str) -> str:
    return resources.files("lsmproc.metrics").joinpath(name).read_text(encoding="utf-8")


def _dashboard_queries() -> Iterator[str]:
    board = json.loads(_file("grafana.json"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m")
    for variable in board["templating"]["list"]:
        yield variable.get("definition", "")


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(_file("alerts.yml"))["groups"] for rule in group["rules"]]


QUERIES = [*_dashboard_queries(), *(rule["expr"] for rule in _rules())]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_metrics_that_are_exported(query: str) -> None:
    """By their full names; and its brackets close in order."""
    asked = set(re.findall(r"lsmproc_\w+", query))
    assert asked <= NAMES
    assert _closes(query)
    # A rate is of a counter, and a counter is looked at through a rate.
    for function, name in re.findall(r"(\w*)\(*(lsmproc_\w+)", query):
        counts = name.endswith(("_total", "_sum", "_count"))
        assert counts == (function in {"rate", "increase"}), query


def test_labels_in_queries_are_labels_of_the_metrics(store: lsmproc.LSMStore) -> None:
    """As a store at work exports them; legends and summaries of alerts too."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(looks_of(store)())):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for query in QUERIES:
        for name, inside in re.findall(r"(lsmproc_\w+)\{([^}]*)\}", query):
            wanted = set(re.findall(r"(\w+)=", inside))
            assert wanted <= labels.get(name, {"db", "level"})
    known = set().union(*labels.values()) | {"level"}
    for text in (_file("grafana.json"), _file("alerts.yml")):
        assert set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text)) <= known


def test_panels_have_different_numbers_and_do_not_overlap() -> None:
    """Grafana shows a board with two panels in one place as one."""
    panels = json.loads(_file("grafana.json"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        cells |= own
    assert max(x for x, _ in cells) <= 23


def test_rules_have_what_prometheus_asks_for() -> None:
    """And what a person woken by one needs."""
    rules = _rules()
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 6
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == set(rule["annotations"])
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))


def _closes(query: str) -> bool:
    """Whether each bracket outside of strings is closed by its own."""
    waiting: list[str] = []
    for sign in re.sub(r'"[^"]*"', "", query):
        if sign in "([{":
            waiting.append({"(": ")", "[": "]", "{": "}"}[sign])
        elif sign in ")]}" and (not waiting or waiting.pop() != sign):
            return False
    return not waiting
