"""What the tiered picker chooses: the script testdata/tiered.txt."""

from __future__ import annotations

import pytest

from lsmproc.compaction.tiered_picker import TieredOptions, TieredPicker
from tests.compaction.picker_script import Case, cases

PICKER = TieredPicker(TieredOptions(run_count_trigger=4))


@pytest.mark.parametrize("case", cases("tiered.txt"), ids=lambda case: case.name)
def test_picks_what_the_script_says(case: Case) -> None:
    """Each case of testdata/tiered.txt."""
    assert case.expected == case.outcome(PICKER)


def test_scores_and_debt_tell_of_the_next_merge() -> None:
    """Four runs of ten bytes: one trigger's worth, and all of it to rewrite."""
    version = cases("tiered.txt")[1].version
    assert (1.0, 0, 0, 0, 0, 0, 0) == PICKER.scores(version)
    assert 40 == PICKER.debt_bytes(version)
