"""Decoding msgpack that somebody else may have written, with time and memory in proportion to its size.

msgpack's own limits count the items of one array. Nested arrays multiply: each of a thousand levels may ask for as many
items as the input has bytes, and an empty list takes sixty times its one byte. So what comes from a file or a pipe is
read by its shape: :class:`FlatReader` for arrays of plain items, at C speed; :func:`decode_tree` for arrays within
arrays, object by object, for what is read seldom and is small. Neither ever makes a map, an extension or a timestamp.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, NoReturn

import msgpack

from lsmproc.errors import CorruptionError

_DEEPEST = 8
_SLICE_ITEMS = 4096
# Trees of records with keys and checksums take more than two bytes for each object.
_FREE_OBJECTS = 4096
_BYTES_PER_OBJECT = 2

_UNDECODABLE = (ValueError, TypeError, msgpack.UnpackException)


class FlatReader:
    """Reads arrays whose items are numbers, bytes or nil; an array among them raises CorruptionError, as all else."""

    def __init__(self, data: bytes) -> None:
        """Read from the start of ``data``."""
        self._bytes = len(data)
        self._unpacker = _unpacker(data, largest_string=0)

    def array_header(self) -> int:
        """How many items the array that begins here says it has."""
        try:
            count: int = self._unpacker.read_array_header()
        except _UNDECODABLE as error:
            raise _undecodable(error) from error
        return count

    def items(self, count: int, types: AbstractSet[type]) -> list[Any]:
        """The next ``count`` items, each of one of the ``types``: the first that is not ends it."""
        items: list[Any] = []
        while len(items) < count:
            try:
                some = list(islice(self._unpacker, min(count - len(items), _SLICE_ITEMS)))
            except _UNDECODABLE as error:
                raise _undecodable(error) from error
            if not some:
                raise CorruptionError(f"an array ends after {len(items)} of {count} items")
            if not set(map(type, some)) <= types:
                raise CorruptionError("an array holds items of a type that does not belong there")
            items += some
        return items

    def end(self) -> None:
        """Raise CorruptionError if anything is left."""
        if self._unpacker.tell() != self._bytes:
            raise CorruptionError("there are bytes behind an array")


def decode_tree(data: bytes, *, largest_string: int) -> Any:
    """One object with nothing after it, with arrays as tuples. Strings have up to ``largest_string`` bytes.

    Raises CorruptionError on anything else, and on more objects than bytes can mean.
    """
    unpacker = _unpacker(data, largest_string)
    room = _FREE_OBJECTS + len(data) // _BYTES_PER_OBJECT

    def decode(depth: int) -> Any:
        nonlocal room
        room -= 1
        if room < 0:
            raise CorruptionError("there are more objects than these bytes can mean")
        place = unpacker.tell()
        lead = data[place] if place < len(data) else 0
        if not (0x90 <= lead <= 0x9F or lead in (0xDC, 0xDD)):
            return unpacker.unpack()
        if depth == _DEEPEST:
            raise CorruptionError("arrays are nested too deeply")
        return tuple([decode(depth + 1) for _ in range(unpacker.read_array_header())])

    try:
        tree = decode(0)
    except _UNDECODABLE as error:
        raise _undecodable(error) from error
    if unpacker.tell() != len(data):
        raise CorruptionError("there are bytes behind an object")
    return tree


def shown(value: object) -> str:
    """A few characters for an error message: the whole of a decoded value may be large."""
    if isinstance(value, (bytes, str)):
        return repr(value[:60])
    if isinstance(value, (tuple, list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r:.60}"


def refuse_extension(code: int, data: bytes) -> NoReturn:
    """The hook for extension types: there are none."""
    raise CorruptionError(f"msgpack extension type {code} of {len(data)} bytes does not belong here")


def refuse_map(pairs: list[object]) -> NoReturn:
    """The hook for maps, which is also called for empty ones, where no limit of msgpack's counts."""
    raise CorruptionError(f"a map of {len(pairs)} pairs does not belong here")


def _unpacker(data: bytes, largest_string: int) -> Any:
    unpacker = msgpack.Unpacker(
        use_list=False,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
        max_str_len=largest_string,
        object_pairs_hook=refuse_map,
        ext_hook=refuse_extension,
        max_buffer_size=max(1, len(data)),
    )
    unpacker.feed(data)
    return unpacker


def _undecodable(error: Exception) -> CorruptionError:
    return CorruptionError(f"msgpack cannot be decoded: {type(error).__name__}")
