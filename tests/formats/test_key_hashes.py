"""Hashing many keys at once gives the numbers that hashing them one by one gives."""

from __future__ import annotations

import xxhash

from lsmproc.formats.key_hashes import hashes_of


def test_hashes_of_many_keys_are_those_of_each() -> None:
    """In their order, whatever their length."""
    keys = [b"", b"a", b"key" * 40, *(b"%d" % n for n in range(100))]
    assert [xxhash.xxh3_64_intdigest(key) for key in keys] == hashes_of(keys).tolist()


def test_no_keys_have_no_hashes() -> None:
    """Nothing to hash is no error."""
    assert [] == hashes_of([]).tolist()
