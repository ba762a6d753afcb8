"""What every compaction picker promises: the tree stays right whatever runs beside what, and work comes to an end."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from lsmproc.compaction.leveled_picker import LeveledOptions, LeveledPicker
from lsmproc.compaction.tiered_picker import TieredOptions, TieredPicker
from lsmproc.protocols import CompactionPicker
from lsmproc.storage.version import Version
from tests.contracts.simulated_tree import TABLE_BYTES, SimulatedTree

KEY_COUNT = 400


def _leveled() -> CompactionPicker:
    return LeveledPicker(
        LeveledOptions(
            level0_compaction_trigger=3,
            level_base_bytes=3 * TABLE_BYTES,
            level_size_multiplier=3,
            max_file_bytes=TABLE_BYTES,
        )
    )


def _tiered() -> CompactionPicker:
    return TieredPicker(TieredOptions(run_count_trigger=4))


PICKERS = pytest.mark.parametrize("make_picker", [_leveled, _tiered], ids=["leveled", "tiered"])


def _key(number: int) -> bytes:
    return b"%04d" % (number % KEY_COUNT)


def _some_keys(random: Random, *, narrow: bool = False) -> list[bytes]:
    """Keys of one flush: all over, close together, in order, or in two places with a gap between them.

    ``narrow`` ones are few and in order, so that tables leave gaps for others to fall into.
    """
    count = random.randint(1, 3 if narrow else 12)
    place = random.randrange(KEY_COUNT)
    match 2 if narrow else random.randrange(4):
        case 0:
            return [_key(random.randrange(KEY_COUNT)) for _ in range(count)]
        case 1:
            return [_key(place + random.randrange(2 * count)) for _ in range(count)]
        case 2:
            return [_key(place + step) for step in range(count)]
        case _:
            return [_key(place), _key(place + random.randrange(KEY_COUNT // 2))]


def _step(tree: SimulatedTree, random: Random, seed: int) -> None:
    """One random event."""
    draw = random.random()
    parallel = 1 + seed % 5
    if draw < 0.4 and len(tree.version.levels[0]) < 24:
        tree.flush(_some_keys(random, narrow=seed % 2 == 1))
    elif draw < 0.7 and len(tree.running) < parallel:
        tree.start()
    elif draw < 0.78 and len(tree.running) < parallel:
        low, high = sorted((random.randrange(KEY_COUNT), random.randrange(KEY_COUNT)))
        picked = tree.picker.manual(
            tree.version,
            random.randrange(7),
            random.choice([None, _key(low)]),
            random.choice([None, _key(high)]),
            running=[compaction for compaction, _ in tree.running],
        )
        if picked is not None:
            tree.begin(picked)
    elif draw < 0.8 and tree.running:
        tree.abandon(random.randrange(len(tree.running)))
    elif tree.running:
        tree.finish(random.randrange(len(tree.running)))


@PICKERS
@pytest.mark.parametrize("seed", range(12))
def test_any_interleaving_of_picks_and_completions_keeps_every_key_at_its_newest(
    make_picker: Callable[[], CompactionPicker], seed: int
) -> None:
    """Flushes, several compactions at once, completions in any order, failures and manual ones: no wrong read."""
    random = Random(seed)
    tree = SimulatedTree(make_picker(), random)
    for _ in range(500):
        _step(tree, random, seed)
        tree.check()
    tree.settle()
    tree.check()
    assert tree.picker.scores(tree.version)[0] < 1


@PICKERS
def test_repeated_picks_on_a_quiet_tree_end(make_picker: Callable[[], CompactionPicker]) -> None:
    """Without new data the picker wants nothing more after a while, and then no level has a score of 1."""
    random = Random(7)
    tree = SimulatedTree(make_picker(), random)
    for _ in range(100):
        tree.flush(_some_keys(random))
    tree.settle()
    tree.check()
    assert max(tree.picker.scores(tree.version)) < 1
    assert tree.picker.debt_bytes(tree.version) == 0


@PICKERS
def test_an_empty_tree_wants_nothing(make_picker: Callable[[], CompactionPicker]) -> None:
    """Nothing to pick, no debt, no need for a second compaction."""
    picker = make_picker()
    assert picker.pick(Version(), ()) is None
    assert picker.manual(Version(), 0) is None
    assert max(picker.scores(Version())) == 0
    assert picker.debt_bytes(Version()) == 0
    assert picker.parallelism(Version()) == 1


@PICKERS
def test_picking_twice_gives_the_same(make_picker: Callable[[], CompactionPicker]) -> None:
    """A picker is a function of its arguments."""
    random = Random(3)
    tree = SimulatedTree(make_picker(), random)
    for _ in range(12):
        tree.flush(_some_keys(random))
    assert tree.picker.pick(tree.version, ()) == make_picker().pick(tree.version, ())


@PICKERS
def test_flushes_in_key_order_are_moved_and_never_rewritten(make_picker: Callable[[], CompactionPicker]) -> None:
    """A bulk load in ascending order costs no merge, as long as there are no tombstones to drop."""
    random = Random(5)
    random.random = lambda: 1.0  # type: ignore[method-assign]  # No tombstones.
    tree = SimulatedTree(make_picker(), random)
    for start in range(0, 48, 12):
        tree.flush([_key(start + step) for step in range(12)])
    tree.settle()
    tree.check()
    assert tree.picks
    assert all(picked.trivial_move for picked in tree.picks)


@PICKERS
def test_manual_compaction_of_every_level_leaves_one_run_without_tombstones(
    make_picker: Callable[[], CompactionPicker],
) -> None:
    """Level by level from the top, everything arrives in the last level and all tombstones are gone."""
    random = Random(11)
    tree = SimulatedTree(make_picker(), random)
    for _ in range(30):
        tree.flush(_some_keys(random))
        if random.random() < 0.3:
            tree.start()
            tree.settle()
    for level in range(7):
        picked = tree.picker.manual(tree.version, level)
        if picked is not None:
            tree.begin(picked)
            tree.finish(0)
            tree.check()
    assert not any(tree.version.levels[:6])
    assert all(file.tombstones == 0 for file in tree.version.levels[6])


@PICKERS
def test_more_runs_justify_more_compactions_at_once(make_picker: Callable[[], CompactionPicker]) -> None:
    """Parallelism is 1 on a calm tree and grows with the pressure."""
    random = Random(13)
    tree = SimulatedTree(make_picker(), random)
    tree.flush([_key(1)])
    assert tree.picker.parallelism(tree.version) == 1
    for _ in range(40):
        tree.flush(_some_keys(random))
    assert tree.picker.parallelism(tree.version) > 1
