"""Makes hostile input out of valid input: bytes that are changed blindly, and objects that only just decode.

Everything is drawn from a ``random.Random`` that the caller seeds, so a case is named by its seed.
"""

from __future__ import annotations

import math
import struct
from random import Random
from typing import Any

import msgpack

NUMBERS = (0, 1, -1, 2, 127, 128, 255, 65535, 65536, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 53, (1 << 63) - 1)
NUMBERS += (1 << 63, (1 << 64) - 1, -(1 << 63), -128, -32769)
LEADS = bytes(range(0x80, 0xE0))  # of msgpack's maps, arrays, strings, bytes, numbers and extensions


def changed_bytes(rng: Random, data: bytes, changes: int = 3) -> bytes:
    """``data`` with a few bytes flipped, put in, cut out, repeated, overwritten by extreme numbers, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, changes)):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[place % len(changed)] ^= 1 << rng.randrange(8)
            case 1:
                changed[place:place] = rng.randbytes(rng.randint(1, 9))
            case 2:
                del changed[place : place + rng.choice((1, 4, 8, 100))]
            case 3:
                changed[place:place] = changed[place : place + rng.choice((1, 8, 64))]
            case 4:
                size, order = rng.choice("BHIQ"), rng.choice("<>")
                number = struct.pack(order + size, rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(size)))
                changed[place : place + len(number)] = number
            case 5 if changed:
                changed[place % len(changed)] = rng.choice(LEADS)
            case 6 if rng.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def hostile_object(rng: Random, depth: int = 0) -> Any:
    """An object of any type that msgpack can carry, more often than not of one that no field expects."""
    match rng.randrange(9 if depth > 2 else 12):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2 | 3:
            return rng.randbytes(rng.choice((0, 1, 2, 15, 16, 31, 32, 256, 300)))
        case 4:
            return rng.choice(("", "x", "block", "tmp/1-1-1-1.sst", "../../x", "\0", "ä"))
        case 5:
            return rng.choice((None, True, False))
        case 6:
            return rng.choice((0.0, -1.5, math.nan, math.inf))
        case 7:
            return rng.choice((msgpack.ExtType(4, b"x"), msgpack.Timestamp(1, 1), msgpack.ExtType(127, b"")))
        case 8:
            return []
        case 9:
            return {rng.choice((b"k", "k")): hostile_object(rng, depth + 1) for _ in range(rng.randrange(3))}
        case _:
            return [hostile_object(rng, depth + 1) for _ in range(rng.randrange(5))]


def changed_tree(rng: Random, tree: Any, chance: float = 0.1) -> Any:
    """A tree of lists and plain values with some of them replaced, left out, repeated or put in another order."""
    if rng.random() < chance:
        return hostile_object(rng)
    if isinstance(tree, (list, tuple)):
        items = [changed_tree(rng, item, chance) for item in tree]
        if items and rng.random() < 2 * chance:
            match rng.randrange(3):
                case 0:
                    items.pop(rng.randrange(len(items)))
                case 1:
                    items.append(rng.choice(items))
                case 2:
                    rng.shuffle(items)
        return items
    if type(tree) is int and rng.random() < 2 * chance:
        return tree + rng.choice(NUMBERS) if tree < 1 << 32 else rng.choice(NUMBERS)
    return tree


def packed(rng: Random, tree: Any) -> bytes:
    """A tree as msgpack, now and then with something done to the bytes."""
    try:
        data: bytes = msgpack.packb(tree)
    except (OverflowError, ValueError):
        return rng.randbytes(20)
    match rng.randrange(20):
        case 0:
            return changed_bytes(rng, data)
        case 1:
            return nested(rng) if rng.random() < 0.5 else data + nested(rng)
    return data


def nested(rng: Random) -> bytes:
    """Arrays in arrays: empty ones, deep ones, and headers that promise more than there is."""
    head = rng.choice((b"\x91", b"\x92", b"\xdc\xff\xff", b"\xdd\x00\x10\x00\x00", b"\xdd\xff\xff\xff\xff", b"\x90"))
    tail = rng.choice((b"", b"\x90" * 2000, b"\xc0" * 100, b"\x91\xc0" * 500, b"\xc4\x02ab" * 200))
    return head * rng.choice((1, 8, 20, 500, 1000, 1500, 3000)) + tail
