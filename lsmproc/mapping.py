"""A store behind ``collections.abc.MutableMapping``, for code that takes any mapping.

Four functions translate: ``encode`` and ``decode`` keys, ``encode_value`` and ``decode_value`` values; without them
both are bytes. They must be inverse to each other, and ``encode`` must give equal keys the same bytes. Iteration is in
the order of the encoded keys and reads one state of the store: writes during a loop neither disturb it nor show in
it, and no RuntimeError tells of them.

The store itself is no MutableMapping because ``list(db)`` would ask it for its length, which takes a pass over all
keys. Here ``len`` does that; ``bool`` looks for one record only.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from lsmproc.store import LSMStore

Key = TypeVar("Key")
Value = TypeVar("Value")

_WINDOW_RECORDS = 4096


class StoreMapping(MutableMapping[Key, Value], Generic[Key, Value]):
    """A store as a mapping; made by ``LSMStore.as_mapping()``. As thread-safe as the store, one call at a time.

    What takes two steps (``pop``, ``setdefault``, ``popitem``, ``del``) can meet writes of other threads in between.
    """

    def __init__(
        self,
        store: LSMStore,
        *,
        encode: Callable[[Key], bytes] | None = None,
        decode: Callable[[bytes], Key] | None = None,
        encode_value: Callable[[Value], bytes] | None = None,
        decode_value: Callable[[bytes], Value] | None = None,
    ) -> None:
        """Look at ``store`` through these functions. Raises TypeError if only one of a pair is given."""
        for pair, there, back in (("", encode, decode), ("_value", encode_value, decode_value)):
            if (there is None) != (back is None):
                raise TypeError(f"encode{pair} and decode{pair} are given together or not at all")
        self._store = store
        self._encode: Callable[[Key], bytes] = encode or _same
        self._decode = decode
        self._encode_value = encode_value
        self._decode_value = decode_value

    @property
    def store(self) -> LSMStore:
        """The store."""
        return self._store

    def __getitem__(self, key: Key) -> Value:
        """The value of ``key``. Raises KeyError."""
        return self._value(self._found(key)[1])

    def __setitem__(self, key: Key, value: Value) -> None:
        """Set ``key`` to ``value``."""
        self._store.put(self._encode(key), self._bytes(value))

    def __delitem__(self, key: Key) -> None:
        """Remove ``key``. Raises KeyError."""
        self._store.delete(self._found(key)[0])

    def __contains__(self, key: object) -> bool:
        """Whether ``key`` has a value; its value is not decoded."""
        try:
            self._found(key)
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[Key]:
        """The keys, in the order of their bytes."""
        keys = iter(self._store.iterator(include_value=False))
        return keys if self._decode is None else map(self._decode, keys)

    def __reversed__(self) -> Iterator[Key]:
        """The keys, from the last to the first."""
        keys = iter(self._store.iterator(include_value=False, reverse=True))
        return keys if self._decode is None else map(self._decode, keys)

    def __len__(self) -> int:
        """How many keys there are: exact, by a pass over all of them."""
        return sum(1 for _ in self._store.iterator(include_key=False, include_value=False))

    def __bool__(self) -> bool:
        """Whether there is any record; looks for one."""
        return next(self._store.range(), None) is not None

    def values(self) -> ValuesView[Value]:
        """A live view of the values; each pass over it reads one state."""
        return _Values(self)

    def items(self) -> ItemsView[Key, Value]:
        """A live view of the records; each pass over it reads one state."""
        return _Items(self)

    def popitem(self) -> tuple[Key, Value]:
        """Remove the last record and return it. Raises KeyError if there is none."""
        for key, value in self._store.range(reverse=True):
            self._store.delete(key)
            return self._key(key), self._value(value)
        raise KeyError("popitem(): the store is empty")

    def update(self, other: Any = (), /, **named: Any) -> None:
        """Set all records of a mapping, an iterable of pairs, or keywords, in batches: each of them whole or not."""
        if isinstance(other, Iterable) and not hasattr(other, "keys"):
            pairs: Iterable[tuple[Any, Any]] = other
        else:
            pairs = ((key, other[key]) for key in other.keys())  # noqa: SIM118 - keys() is what update asks for
        named_pairs: Iterable[tuple[Any, Any]] = named.items()
        for records in (pairs, named_pairs):
            batch = self._store.write_batch()
            for key, value in records:
                batch.put(self._encode(key), self._bytes(value))
                if len(batch) >= _WINDOW_RECORDS:
                    batch.write()
            batch.write()

    def clear(self) -> None:
        """Remove every record that is there at the beginning, in batches."""
        batch = self._store.write_batch()
        for key in self._store.iterator(include_value=False):
            batch.delete(key)
            if len(batch) >= _WINDOW_RECORDS:
                batch.write()
        batch.write()

    def records(self, *, reverse: bool = False) -> Iterator[tuple[Key, Value]]:
        """The decoded records of one state, lazily."""
        key, value = self._key, self._value
        pairs = self._store.range(reverse=reverse)
        if self._decode is None and self._decode_value is None:
            return pairs  # type: ignore[return-value]
        return ((key(k), value(v)) for k, v in pairs)

    def __repr__(self) -> str:
        """The store, without reading it."""
        return f"<StoreMapping of {self._store!r}>"

    def _found(self, key: Any) -> tuple[bytes, bytes]:
        """The record of ``key`` as bytes. Raises KeyError, also for what can be no key: then it has no value."""
        try:
            encoded = self._encode(key)
            value = self._store.get(encoded)
        except (TypeError, ValueError, AttributeError) as error:
            raise KeyError(key) from error
        if value is None:
            raise KeyError(key)
        return encoded, value

    def _key(self, key: bytes) -> Key:
        return key if self._decode is None else self._decode(key)  # type: ignore[return-value]

    def _value(self, value: bytes) -> Value:
        return value if self._decode_value is None else self._decode_value(value)  # type: ignore[return-value]

    def _bytes(self, value: Value) -> bytes:
        return value if self._encode_value is None else self._encode_value(value)  # type: ignore[return-value]


class _Values(ValuesView[Value]):
    """The values in one pass, where ValuesView looks up each key."""

    _mapping: StoreMapping[Any, Value]

    def __iter__(self) -> Iterator[Value]:
        return (value for _, value in self._mapping.records())

    def __reversed__(self) -> Iterator[Value]:
        return (value for _, value in self._mapping.records(reverse=True))


class _Items(ItemsView[Key, Value]):
    """The records in one pass, where ItemsView looks up each key."""

    _mapping: StoreMapping[Key, Value]

    def __iter__(self) -> Iterator[tuple[Key, Value]]:
        return iter(self._mapping.records())

    def __reversed__(self) -> Iterator[tuple[Key, Value]]:
        return iter(self._mapping.records(reverse=True))


def _same(key: Any) -> Any:
    """The key itself: the store says what is wrong with it."""
    return key
