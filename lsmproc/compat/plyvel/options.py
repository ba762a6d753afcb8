"""plyvel's options of a database, checked as plyvel checks them and put into lsmproc's words."""

from __future__ import annotations

import os
from typing import Any

from lsmproc.compat.plyvel.errors import Error

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_SIZE_MAX = (1 << 64) - 1

# plyvel's name: lsmproc's name, and the limits that a value is brought into.
_NUMBERS = {
    "write_buffer_size": ("memtable_max_bytes", 64 * _KIB, _GIB),
    "max_open_files": ("max_open_files", 64, 1_000_000),
    "lru_cache_size": ("block_cache_bytes", 0, 1 << 40),
    "block_size": ("block_bytes", _KIB, _MIB),
    "block_restart_interval": (None, 0, 0),  # every block of ours is searched without restart points
    "max_file_size": ("sstable_max_bytes", _MIB, _GIB),
}


def native_options(
    *,
    paranoid_checks: Any = None,  # noqa: ARG001 - checksums are always verified
    write_buffer_size: int | None = None,
    max_open_files: int | None = None,
    lru_cache_size: int | None = None,
    block_size: int | None = None,
    block_restart_interval: int | None = None,
    max_file_size: int | None = None,
    compression: str | bytes | None = "snappy",
    bloom_filter_bits: int = 0,
    comparator: Any = None,
    comparator_name: bytes | None = None,
) -> dict[str, Any]:
    """Options for ``lsmproc.open``. Raises what plyvel raises for bad ones, and Error for a comparator."""
    given = {
        "write_buffer_size": write_buffer_size,
        "max_open_files": max_open_files,
        "lru_cache_size": lru_cache_size,
        "block_size": block_size,
        "block_restart_interval": block_restart_interval,
        "max_file_size": max_file_size,
    }
    options: dict[str, Any] = {"compression": "lz4" if _is_compressed(compression) else "none"}
    for name, value in given.items():
        if value is not None:
            _check_number(name, value)
            native, low, high = _NUMBERS[name]
            if native is not None:
                options[native] = min(max(value, low), high)
    _check_number("bloom_filter_bits", bloom_filter_bits)
    if bloom_filter_bits > 0:
        options["bloom_bits_per_key"] = (min(max(bloom_filter_bits, 4), 32),)
    _check_comparator(comparator, comparator_name)
    return options


def file_system_name(name: object) -> str:
    """The path that ``name`` stands for. Raises TypeError."""
    if isinstance(name, (str, bytes, os.PathLike)):
        return os.fsdecode(name)
    raise TypeError(f"'name' is a byte string or a string, not {type(name).__name__}")


def _is_compressed(compression: object) -> bool:
    if compression is None:
        return False
    if isinstance(compression, bytes):
        compression = compression.decode()
    if not isinstance(compression, str):
        raise TypeError("'compression' is None or a string")
    if compression != "snappy":
        raise ValueError("'compression' is None or 'snappy', which lsmproc takes as its own default, lz4")
    return True


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name!r} is a whole number, not {type(value).__name__}")
    if not -_SIZE_MAX <= value <= _SIZE_MAX or (name == "lru_cache_size" and value < 0):
        raise OverflowError(f"{name!r} is {value}, which no size can be")


def _check_comparator(comparator: object, comparator_name: object) -> None:
    if comparator_name is not None and not isinstance(comparator_name, bytes):
        raise TypeError(f"'comparator_name' is bytes, not {type(comparator_name).__name__}")
    if (comparator is None) != (comparator_name is None):
        raise ValueError("'comparator' and 'comparator_name' are given together or not at all")
    if comparator is None:
        return
    if not callable(comparator):
        raise TypeError("'comparator' is a function of two keys")
    raise Error(
        "lsmproc orders keys by their bytes only, because its workers compare them without Python code: leave "
        "'comparator' out, and encode keys so that their bytes sort as wanted (big-endian numbers, folded text)"
    )
