"""Sizes and times as people write them: "64MiB" and "250ms", to whole numbers and back.

Units of size are binary (KiB, MiB, GiB, TiB). A decimal "MB" is refused instead of guessed at, because half of its
users mean the binary unit.
"""

from __future__ import annotations

import re

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

_BYTES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_AMOUNT = re.compile(r"\s*([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_bytes(text: str) -> int:
    """Bytes in a text such as "64MiB" or "4096". Raises ValueError with a sentence for the user."""
    amount, unit = _split(text, "a size such as 4096 or '64MiB'")
    by_folded_name = {name.lower(): factor for name, factor in _BYTES.items()}
    factor = by_folded_name.get(unit.lower() or "b")
    if factor is None:
        binary = f"{unit[0].upper()}iB"
        hint = f"; did you mean '{text.strip()[: -len(unit)].strip()}{binary}'?" if binary in _BYTES else ""
        raise ValueError(f"{unit!r} is no unit of size (B, KiB, MiB, GiB, TiB){hint}")
    return _whole(amount, factor, text, "bytes")


def parse_milliseconds(text: str) -> int:
    """Milliseconds in a text such as "250ms" or "1s"; a bare number counts milliseconds. Raises ValueError."""
    amount, unit = _split(text, "a time such as '250ms' or '1s'")
    factor = _MILLISECONDS.get(unit or "ms")
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of time (ms, s, min, h, d)")
    return _whole(amount, factor, text, "milliseconds")


def parse_seconds(text: str) -> int:
    """Seconds in a text such as "90s" or "7d"; a bare number counts seconds. Raises ValueError."""
    amount, unit = _split(text, "a time such as '90s' or '7d'")
    milliseconds = parse_milliseconds(f"{amount}{unit or 's'}")
    return _whole(str(milliseconds), 1, text, "seconds", per=1000)


def format_bytes(size: int) -> str:
    """The shortest exact text of a size: "64MiB", "1536KiB", "1000B"."""
    return _shortest(size, _BYTES)


def format_milliseconds(milliseconds: int) -> str:
    """The shortest exact text of a time given in milliseconds: "250ms", "1s"."""
    return _shortest(milliseconds, _MILLISECONDS)


def format_seconds(seconds: int) -> str:
    """The shortest exact text of a time given in seconds: "90s", "7d"."""
    return _shortest(seconds * 1000, _MILLISECONDS) if seconds else "0s"


def _split(text: str, wanted: str) -> tuple[str, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"must be {wanted}")
    return match[1].replace("_", ""), match[2]


def _whole(amount: str, factor: int, text: str, unit: str, *, per: int = 1) -> int:
    """``amount * factor / per`` exactly, in integers: a float would round large sizes."""
    whole, _, decimals = amount.partition(".")
    scaled = int(whole + decimals) * factor
    divisor = int("1" + "0" * len(decimals)) * per
    if scaled % divisor:
        raise ValueError(f"{text.strip()!r} is not a whole number of {unit}")
    return scaled // divisor


def _shortest(amount: int, factors: dict[str, int]) -> str:
    exact = [name for name, factor in factors.items() if amount % factor == 0 and amount >= factor]
    name = exact[-1] if exact else next(iter(factors))
    return f"{amount // factors[name]}{name}"
