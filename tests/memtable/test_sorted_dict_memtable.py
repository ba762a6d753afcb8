"""The mapping of the sorted-dict memtable."""

from __future__ import annotations

import pytest

from lsmproc.memtable.sorted_dict_memtable import LockedSortedDict, SortedDictMemtable


def test_entries_behave_as_a_mapping() -> None:
    """Lookup, order, length and both forms of update."""
    entries = LockedSortedDict()
    entries.update({b"b": (1, b"x")})
    entries.update([(b"a", (2, None))])
    assert [b"a", b"b"] == list(entries)
    assert (1, b"x") == entries[b"b"]
    assert b"a" in entries
    assert b"c" not in entries
    with pytest.raises(KeyError):
        entries[b"c"]
    with pytest.raises(TypeError, match="bytes"):
        entries.update(c=(1, b""))


def test_a_key_cannot_be_removed() -> None:
    """Deleting is inserting a tombstone."""
    entries = LockedSortedDict()
    entries[b"a"] = (1, b"")
    with pytest.raises(TypeError, match="tombstone"):
        del entries[b"a"]


def test_an_interrupt_between_list_and_dict_leaves_no_key_without_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The half-inserted key is gone and the memtable works on."""
    memtable = SortedDictMemtable()
    memtable.entries[b"b"] = (1, b"x")
    records = memtable.entries._records
    add = records._list_add

    def add_and_interrupt(key: bytes) -> None:
        add(key)
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "_list_add", add_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        memtable.entries[b"a"] = (2, b"y")
    assert ([b"b"], [b"x"], [1]) == memtable.columns()
    memtable.entries[b"a"] = (3, b"z")
    assert ([b"a", b"b"], [b"z", b"x"], [3, 1]) == memtable.columns()
