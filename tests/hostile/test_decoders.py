"""Nothing that stands in a file, a pipe or a directory raises anything but the errors that are promised for it."""

from __future__ import annotations

import pytest

from tests.hostile.targets import TARGETS
from tests.hostile.trial import run_apart
from tests.tally import Tally

# Cases of the quick form, which takes about a second for each target; the full form runs thirty times as many.
CASES = {
    "damaged logs": 800,
    "crafted frames": 500,
    "crafted segment headers": 800,
    "crafted promises": 1000,
    "log headers": 2000,
    "version edits": 2000,
    "manifests": 1000,
    "sound tables": 150,
    "damaged tables": 400,
    "crafted tables": 400,
    "crafted messages": 2000,
    "crafted queues": 800,
    "damaged stores": 60,
    "crafted stores": 60,
    "file names": 3000,
    "texts of LOCK": 2000,
    "settings": 200,
}
TIMES_IN_FULL = 30
NEVER_REFUSED = {"sound tables"}


@pytest.mark.timeout(620)
@pytest.mark.parametrize("target", CASES)
def test_hostile_input_is_corruption_or_taken_for_what_it_says(target: str, full: bool, tally: Tally) -> None:
    """No other exception, no more than two seconds, no more than 64 MiB; both outcomes occur, or nothing was tried."""
    count = CASES[target] * (TIMES_IN_FULL if full else 1)
    outcome = run_apart(target, 0, count)
    assert 0 < outcome.accepted
    assert (outcome.refused == 0) == (target in NEVER_REFUSED)
    tally.add(f"hostile input: {target}", count)


def test_every_target_is_tried() -> None:
    """A target that is added is listed above; bombs have a test of their own."""
    assert set(CASES) == {target for target in TARGETS if not target.startswith("bomb: ")}
