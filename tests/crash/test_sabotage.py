"""The rig is able to fail: with any one protection switched off, it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsmproc.stress.faults import SABOTAGE_NAMES
from lsmproc.stress.report import StressReport

RunPlan = Callable[..., StressReport]

# A load that meets the missing protection soon, and what is found then.
SOON = (0.02, 0.1)
BUSY = {"option_sets": ("tiny",), "threads": (4,), "sync": ("none",)}
CUTS = {"power_cuts": 200, "volumes": ("model",), "option_sets": ("tiny",), "sync": ("mix",), "interval_seconds": SOON}
SIGNS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "ack-before-log": (
        # Not a small memtable: a writer who waits for its flush has nothing in his hands.
        {"owner_kills": 30, "option_sets": ("normal",), "sync": ("none",), "interval_seconds": SOON},
        {"lost", "wrong", "resurrected"},
    ),
    "no-crc": (
        {"kill_points": 200, "points": ("owner.write.wal.torn",), "option_sets": ("small",), "threads": (1,)},
        {"lost", "wrong", "resurrected", "foreign", "torn batch", "order", "error"},
    ),
    "reused-sequence": (
        {"owner_kills": 30, "option_sets": ("tiny",), "interval_seconds": SOON},
        {"lost", "wrong", "order", "reads differ"},
    ),
    "early-rename": (
        {"kill_points": 30, "points": ("owner.write.manifest.before",), "option_sets": ("tiny",)},
        {"error"},
    ),
    "no-seal-check": (
        {"log_damages": 30, "option_sets": ("tiny",), "sync": ("none",), "interval_seconds": SOON},
        {"lost", "wrong", "resurrected"},
    ),
    "tombstone-dropped-early": ({"owner_kills": 100, **BUSY, "interval_seconds": (0.5, 1.0)}, {"resurrected"}),
    "rotated-log-not-replayed": (
        {"owner_kills": 30, "option_sets": ("tiny",), "interval_seconds": SOON},
        {"lost", "wrong", "resurrected"},
    ),
    "orphans-kept": (
        {"kill_points": 60, "points": ("owner.rename.table.after",), "option_sets": ("tiny",)},
        {"orphan"},
    ),
    "deaf-worker": ({"owner_kills": 100, **BUSY, "interval_seconds": (0.5, 1.0), "gone_seconds": 1.0}, {"left"}),
    "skip-directory-sync": (CUTS, {"error", "lost"}),
    "skip-table-sync": (CUTS, {"error", "lost"}),
}


def test_every_sabotage_is_tried() -> None:
    """A new one needs its line above."""
    assert set(SABOTAGE_NAMES) == set(SIGNS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SIGNS)
def test_a_missing_protection_is_noticed(run_plan: RunPlan, name: str) -> None:
    """The run fails, for the reason that this protection prevents, and says how to run it again."""
    plan, signs = SIGNS[name]
    report = run_plan(seed=1, sabotage=name, **plan)
    found = {problem.kind for cycle in report.cycles for problem in cycle.problems}
    assert signs & found, "\n".join(report.lines())
    assert f"--sabotage {name}" in report.replay
    assert ["report.json", "store"] == sorted(each.name for each in Path(report.evidence).iterdir())
