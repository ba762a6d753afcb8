"""A long run notices what grows; a short one has the same shape."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lsmproc.stress.growth import LIMITS, MIB, growths, theil_sen
from lsmproc.stress.plan import StressPlan
from lsmproc.stress.rig import run_soak
from tests.tally import Tally


def samples(**leaks: float) -> list[dict[str, float]]:
    """Half an hour of a service whose figures waver; ``leaks`` grow by so much in a minute besides."""
    chance = random.Random(5)
    found = []
    for second in range(1800):
        warm = min(1.0, second / 300)
        figures = {name: 50.0 + chance.randrange(10) for name in LIMITS}
        for name in LIMITS:
            if "bytes" in name:
                figures[name] = (60 + 40 * warm + chance.random() * 4) * MIB
        for name, leak in leaks.items():
            figures[name] += leak * second / 60
        figures["processes"] = 3.0 if second % 50 else 2.0
        found.append({"seconds": float(second), **figures})
    return found


def test_figures_that_waver_are_flat() -> None:
    """Also if they grew while the service was warming up."""
    assert [] == [each.line() for each in growths(samples()) if not each.flat]


@pytest.mark.parametrize(
    ("name", "leak"),
    [("owner memory (bytes)", 1.0 * MIB), ("owner descriptors, tables aside", 0.5), ("files", 2.0),
     ("live snapshots", 0.4), ("memory of the largest worker (bytes)", 1.0 * MIB), ("owner threads", 0.2)],
)  # fmt: skip
def test_a_planted_leak_is_noticed_by_its_name(name: str, leak: float) -> None:
    """A mebibyte or half a descriptor in a minute is little, and fails the run."""
    assert [name] == [each.name for each in growths(samples(**{name: leak})) if not each.flat]


def test_a_few_wild_samples_do_not_move_the_line() -> None:
    """A worker that was killed holds nothing for an instant."""
    points = [(float(x), 2.0 * x) for x in range(100)]
    wild = [(x, -1e9) if x % 10 == 3 else (x, y) for x, y in points]
    assert 2.0 == pytest.approx(theil_sen(points))
    assert 2.0 == pytest.approx(theil_sen(wild))
    assert 0.0 == theil_sen(points[:1])


@pytest.mark.timeout(3600)
def test_one_owner_lives_long_and_nothing_grows(rig_directory: Path, full: bool, tally: Tally) -> None:
    """Under load, with dying workers, and snapshots that come and go; then the oracle looks."""
    seconds = 600.0 if full else 6.0
    report = run_soak(StressPlan(51, slow_seconds=20.0, gone_seconds=10.0), seconds, str(rig_directory), print)
    assert [] == report.problems
    # A few seconds are all warming up: in the short form the figures are there, and only the long one tells growth.
    assert [] == [each.line() for each in report.growths if full and not each.flat]
    assert list(LIMITS) == [each.name for each in report.growths]
    assert report.acked > 0 and report.rounds >= 1  # noqa: PT018 - one thought
    assert {"snapshot", "iterator"} <= report.done.keys()
    told = report.to_json_dict()
    assert len(told["samples"]) == len(report.samples) > 4
    assert not rig_directory.exists()
    assert all(f"  {name}" in "\n".join(report.lines()) for name in LIMITS)
    tally.add("seconds of service", int(seconds))


def test_a_run_too_short_to_tell_fails(rig_directory: Path) -> None:
    """Nothing is known then, and a green run would say otherwise."""
    report = run_soak(StressPlan(52, slow_seconds=20.0, gone_seconds=10.0), 0.0, str(rig_directory), print)
    assert (True, True, []) == (report.failed, report.tested_nothing, report.problems)
