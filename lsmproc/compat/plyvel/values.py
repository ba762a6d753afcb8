"""What plyvel takes as a value: every contiguous buffer."""

from __future__ import annotations

from typing import Any


def as_value(value: Any) -> bytes:
    """The bytes of a buffer. Raises TypeError if it is none, BufferError if it is not contiguous."""
    if value is None or isinstance(value, str):
        raise TypeError(f"a value is bytes or another buffer, not {type(value).__name__}")
    view = memoryview(value)
    if not view.c_contiguous:
        raise BufferError("the value's bytes are not contiguous: copy it with bytes() first")
    return view.tobytes()
