"""The records of a benchmark are what its report says of them."""

from __future__ import annotations

import random
import zlib

from lsmproc.bench.records import RecordMaker, batches
from lsmproc.bench.settings import Settings
from lsmproc.bench.zipfian import Zipfian


def test_keys_and_values_have_the_sizes_that_were_asked_for() -> None:
    """Also where a value is longer than a piece of the pool."""
    maker = RecordMaker(Settings(key_size=20, value_size=1000), seed=1)
    assert {(20, 1000)} == {(len(key), len(value)) for key, value in maker.records(range(50))}


def test_the_shuffled_order_is_a_permutation_and_the_same_for_each_session() -> None:
    """All systems must do the same work, whatever the seed of the round."""
    settings = Settings(num=1000)
    first, second = RecordMaker(settings, seed=1).shuffled(), RecordMaker(settings, seed=2).shuffled()
    assert list(range(1000)) == sorted(first) != list(first)
    assert first == second


def test_values_compress_to_about_the_share_that_was_asked_for() -> None:
    """A block of one repeated value would flatter whoever compresses."""
    block = b"".join(RecordMaker(Settings(compressibility=0.5), seed=1).values(35))
    assert 0.45 < len(zlib.compress(block)) / len(block) < 0.65


def test_few_ranks_are_drawn_often_and_none_is_out_of_range() -> None:
    """The first rank has a share of 1 / zeta, about an eighth of a thousand keys."""
    ranks = Zipfian(1000, random.Random(1)).ranks(20_000)
    assert 0.11 < ranks.count(0) / len(ranks) < 0.16
    assert (0, True) == (min(ranks), max(ranks) < 1000)


def test_a_handful_of_records_is_enough_for_every_distribution() -> None:
    """Smoke runs use tiny counts."""
    for count in (1, 2, 3):
        maker = RecordMaker(Settings(num=count, distribution="zipfian"), seed=1)
        assert set(maker.drawn(100)) <= set(range(count))


def test_batches_hold_every_number_in_order() -> None:
    """The last one is shorter."""
    assert [[0, 1], [2, 3], [4]] == list(batches(range(5), 2))
