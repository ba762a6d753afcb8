"""Writes that are a function of their number, so that any state of the store says which prefix of them it is.

Write ``n`` puts a value stamped with ``n``, deletes a key and puts a stamp in one batch, or puts several. The highest
stamp of a state is the number of its last write, and everything else in it follows from that.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import lsmproc

_STAMP_BYTES = 8
_MARK = b"mark"


def changes_of(number: int, keys: int = 300, largest: int = 3000) -> dict[bytes, bytes | None]:
    """What write ``number`` does; None is a deletion."""
    chance = random.Random(number)
    key = b"key %05d" % chance.randrange(keys)
    kind = chance.random()
    if kind < 0.1:
        return {key: None, _MARK: _stamped(number, b"")}
    size = chance.randrange(20, largest) if kind < 0.995 else chance.randrange(60_000, 200_000)
    if kind < 0.2:
        others = [b"key %05d" % chance.randrange(keys) for _ in range(20)]
        return {each: _stamped(number, each * 3) for each in (key, *others)}
    return {key: _stamped(number, (key * (size // len(key) + 1))[:size])}


def write(store: lsmproc.LSMStore, number: int) -> None:
    """Do write ``number``."""
    changes = changes_of(number)
    if len(changes) > 1:
        with store.write_batch() as batch:
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
    else:
        for key, value in changes.items():
            store.put(key, value or b"")


def last_write(records: Mapping[bytes, bytes]) -> int:
    """The number of the last write of a state; 0 for an empty one."""
    return max((int.from_bytes(value[:_STAMP_BYTES], "big") for value in records.values()), default=0)


class Model:
    """What the store holds after each write, for states that only move forward."""

    def __init__(self) -> None:
        self.number = 0
        self.records: dict[bytes, bytes] = {}

    def check(self, found: Mapping[bytes, bytes]) -> None:
        """``found`` is the state after some write, and no earlier one than the last time."""
        number = last_write(found)
        assert number >= self.number, f"went back from write {self.number} to {number}"
        self.advance(number)
        if found != self.records:
            wrong = {key for key in found.keys() | self.records.keys() if found.get(key) != self.records.get(key)}
            key = min(wrong)
            expected, actual = self.records.get(key, b"")[:12], found.get(key, b"")[:12]
            raise AssertionError(
                f"after write {number} {len(wrong)} keys are wrong: {key!r}: {actual!r}, not {expected!r}"
            )

    def advance(self, number: int) -> None:
        """Go on to the state after write ``number``."""
        for each in range(self.number + 1, number + 1):
            for key, value in changes_of(each).items():
                if value is None:
                    self.records.pop(key, None)
                else:
                    self.records[key] = value
        self.number = max(self.number, number)


def _stamped(number: int, filling: bytes) -> bytes:
    return number.to_bytes(_STAMP_BYTES, "big") + filling
