"""What a key and a value may be. Everything is checked before the first byte is written."""

from __future__ import annotations

from lsmproc.errors import RecordTooLargeError

MAX_KEY_BYTES = (1 << 17) - 1
MAX_VALUE_BYTES = 64 << 20
MAX_BATCH_BYTES = 256 << 20


def checked_key(key: object) -> bytes:
    """``key`` if it can be one. Raises TypeError, RecordTooLargeError."""
    if not isinstance(key, bytes):
        remedy = "; call .encode() on text" if isinstance(key, str) else "; convert it with bytes()"
        raise TypeError(f"a key is bytes, not {type(key).__name__}{remedy}")
    if len(key) > MAX_KEY_BYTES:
        raise RecordTooLargeError(f"a key of {len(key)} bytes is above the limit of {MAX_KEY_BYTES}")
    return bytes(key)


def checked_value(value: object) -> bytes:
    """``value``, copied to bytes unless it is. Raises TypeError, RecordTooLargeError."""
    if not isinstance(value, bytes):
        if isinstance(value, (bytearray, memoryview)):
            value = bytes(value)
        elif value is None:
            raise TypeError("a value is bytes, not None; use delete() to remove a key")
        else:
            remedy = "; call .encode() on text" if isinstance(value, str) else ""
            raise TypeError(f"a value is bytes, bytearray or memoryview, not {type(value).__name__}{remedy}")
    if len(value) > MAX_VALUE_BYTES:
        raise RecordTooLargeError(f"a value of {len(value)} bytes is above the limit of {MAX_VALUE_BYTES}")
    return bytes(value)


def checked_bound(bound: object, name: str) -> bytes | None:
    """``bound`` of a range if it can be one: bytes, or None for an open end. Raises TypeError."""
    if bound is None or isinstance(bound, bytes):
        return bound
    raise TypeError(f"{name} is bytes or None, not {type(bound).__name__}")
