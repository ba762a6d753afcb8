"""The file STATUS: what an open store last said of itself, for other processes to read while it is rewritten.

Two slots of fixed size; writings alternate between them, so that one that a kill breaks off leaves the one before::

    0        slot of the pages with even numbers
    65536    slot of the pages with odd numbers

    a slot:
     0  8  magic "LSMSTAT1"
     8  4  u32 format number, 1
    12  4  u32 bytes of the content
    16  8  u64 page number; the newest page has the highest
    24  8  u64 xxh3 of the bytes 0 to 23 and the content
    32  n  content: a JSON object in UTF-8

Little endian. A reader takes the newest page whose checksum is right; a page that is just being written has none, and
then the other slot is a second older. Nothing is locked and nothing is synced.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import STATUS

SLOT_BYTES = 1 << 16
MAX_CONTENT_BYTES = SLOT_BYTES - 32

_MAGIC = b"LSMSTAT1"
_FORMAT = 1
_HEAD = struct.Struct("<8sIIQ")
_CHECKSUM = struct.Struct("<Q")
assert (_HEAD.size, _CHECKSUM.size) == (24, 8)
_START = _HEAD.size + _CHECKSUM.size


def slot_offset(number: int) -> int:
    """Where the page of that number is written."""
    return number % 2 * SLOT_BYTES


def encode_status_page(number: int, content: Mapping[str, object]) -> bytes:
    """A page as bytes. Raises ValueError if the content does not fit into a slot."""
    body = json.dumps(content, separators=(",", ":"), default=str).encode()
    if len(body) > MAX_CONTENT_BYTES:
        raise ValueError(f"a status page of {len(body)} bytes is above the limit of {MAX_CONTENT_BYTES}")
    head = _HEAD.pack(_MAGIC, _FORMAT, len(body), number)
    return head + _CHECKSUM.pack(_checksum(head, body)) + body


def decode_status(data: bytes) -> tuple[int, dict[str, Any]]:
    """Number and content of the newest page in the file's bytes. Raises CorruptionError if no slot holds one."""
    pages = [page for start in (0, SLOT_BYTES) if (page := _decode_slot(data[start : start + SLOT_BYTES])) is not None]
    if not pages:
        raise CorruptionError("no slot holds a whole status page", file=STATUS)
    return max(pages, key=lambda page: page[0])


def _decode_slot(slot: bytes) -> tuple[int, dict[str, Any]] | None:
    if len(slot) < _START:
        return None
    magic, number_of_format, size, number = _HEAD.unpack_from(slot)
    body = slot[_START : _START + size]
    if magic != _MAGIC or number_of_format != _FORMAT or len(body) != size:
        return None
    if _CHECKSUM.unpack_from(slot, _HEAD.size)[0] != _checksum(slot[: _HEAD.size], body):
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return (number, content) if type(content) is dict else None


def _checksum(head: bytes, body: bytes) -> int:
    return xxhash.xxh3_64_intdigest(head + body)
