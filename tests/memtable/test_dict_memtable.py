"""How the dict memtable finds out what is new, when a writer or an interrupt comes in between."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.memtable.stepwise_sort import sorted_stepwise
from lsmproc.protocols import MemtableEntry


class RacingDict(dict[bytes, MemtableEntry]):
    """A dict into which another writer puts one more key each time somebody asks for its length."""

    races = 0

    def __len__(self) -> int:
        length = super().__len__()
        if self.races:
            self.races -= 1
            self[b"race%d" % self.races] = (1, b"")
        return length


class ChangingDict(dict[bytes, MemtableEntry]):
    """A dict that changes while it is walked."""

    changes = 0

    def __reversed__(self) -> Iterator[bytes]:
        if self.changes:
            self.changes -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return super().__reversed__()


def test_entries_are_a_plain_dict() -> None:
    """A put costs one dict insert: nothing may stand in between."""
    assert dict is type(DictMemtable().entries)


@pytest.mark.parametrize("races", [1, 2, 3, 9, 40])
def test_a_put_between_counting_and_taking_loses_no_key(races: int) -> None:
    """However often a writer hits the gap, no key is left out and none comes twice."""
    memtable = DictMemtable()
    memtable.entries = RacingDict({b"b": (1, b""), b"a": (1, b"")})
    memtable.window(None, None, 1, 9, reverse=False)
    memtable.entries[b"c"] = (1, b"")
    memtable.entries.races = races
    memtable.window(None, None, 1, 9, reverse=False)
    memtable.entries.races = 0
    assert sorted(memtable.entries) == memtable.columns()[0]


def test_a_dict_that_changes_while_it_is_walked_is_walked_again() -> None:
    """The RuntimeError of a walk that a writer disturbed does not reach the reader."""
    memtable = DictMemtable()
    memtable.entries = ChangingDict({b"b": (1, b""), b"a": (1, b"")})
    memtable.entries.changes = 3
    assert [b"a", b"b"] == memtable.columns()[0]
    assert 0 == memtable.entries.changes


def test_an_interrupt_while_catching_up_leaves_no_half_ordered_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a KeyboardInterrupt between two adds the next range is complete and in order."""
    memtable = DictMemtable()
    memtable.entries.update((b"%03d" % number, (1, b"")) for number in range(0, 200, 2))
    memtable.columns()
    memtable.entries.update((b"%03d" % number, (1, b"")) for number in (1, 3))
    order = memtable._order
    add = order.add

    def add_once(key: bytes) -> None:
        add(key)
        raise KeyboardInterrupt

    monkeypatch.setattr(order, "add", add_once, raising=True)
    with pytest.raises(KeyboardInterrupt):
        memtable.columns()
    assert sorted(memtable.entries) == memtable.columns()[0]


@pytest.mark.parametrize(("ordered", "added"), [(0, 0), (0, 1), (1, 0), (5, 8191), (0, 8193), (30_000, 20_000)])
def test_stepwise_sort_gives_what_sorted_gives(ordered: int, added: int) -> None:
    """Whatever the sizes, and with keys that crowd in one place."""
    draw = Random(ordered + added)
    numbers = draw.sample(range(100_000), ordered + added // 2) + list(range(200_000, 200_000 + added - added // 2))
    keys = [b"%07d" % number for number in numbers]
    assert sorted(keys) == sorted_stepwise(sorted(keys[:ordered]), keys[ordered:])
