"""A small file cannot ask for much memory: what it says of itself is checked before memory is spent on it."""

from __future__ import annotations

import pytest

from tests.hostile.bomb_targets import BOMBS, DECODERS, FILLINGS, HEADERS
from tests.hostile.trial import run_each_apart
from tests.tally import Tally

MAX_BOMB_MEBIBYTES = 16
WORST = ("arrays of one", "empty maps", "short keys", "array headers", "array headers below the limit")


def test_a_compressed_bomb_is_refused_before_it_expands(tally: Tally) -> None:
    """Of each codec: more or less than stated, more than any block has, more than the manifest says of the table."""
    outcomes = run_each_apart([f"bomb: {name}" for name in BOMBS])
    for name, outcome in outcomes.items():
        assert 1 == outcome.refused, name
        assert outcome.mebibytes < MAX_BOMB_MEBIBYTES, name
    tally.add("compressed bombs", len(outcomes))


@pytest.mark.parametrize("decoder", DECODERS)
def test_msgpack_that_asks_for_much_memory_gets_little(decoder: str, full: bool, tally: Tally) -> None:
    """Three mebibytes of the objects that take most, and array headers in array headers: below 64 MiB, as any input."""
    fillings = [*FILLINGS, *HEADERS] if full else WORST
    outcomes = run_each_apart([f"bomb: {decoder}, {filling}" for filling in fillings])
    tally.add("msgpack bombs", len(outcomes))
