"""Figures as people read them, in as few characters as will do, and bars."""

from __future__ import annotations

from typing import Any


def size(count: Any) -> str:
    """Bytes: 1.5 MiB."""
    number = number_of(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def rate(count: Any) -> str:
    """Bytes for each second: 1.5 MiB/s."""
    return f"{size(count)}/s"


def amount(count: Any) -> str:
    """A count: 812, 41.0k, 3.2M."""
    number = number_of(count)
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.0f}" if not unit else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.1f}T"


def duration(seconds: Any) -> str:
    """A time: 850 us, 12 ms, 3.4 s, 5m07, 3h12m, 4d03h."""
    number = number_of(seconds)
    if number < 1:
        return f"{number * 1e6:.0f} us" if number < 0.001 else f"{number * 1e3:.3g} ms"
    if number < 60:
        return f"{number:.1f} s"
    whole = int(number)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def bar(share: float, width: int) -> str:
    """A bar that is full at 1."""
    filled = round(width * min(max(share, 0.0), 1.0))
    return "#" * filled + "." * (width - filled)


def number_of(value: Any) -> float:
    """``value`` if it is a number, else 0: pages of other releases may hold something else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
