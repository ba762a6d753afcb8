r"""Keys and values as text: on the command line, on the screen, in JSON lines and in TSV.

* On the command line a key is the bytes of the argument, or its hexadecimal digits.
* On the screen printable UTF-8 stays as it is; other bytes are ``\xNN`` and a backslash is ``\\``.
* In JSON bytes that are UTF-8 are ``"key"`` and ``"value"``; others are ``"key_base64"`` and ``"value_base64"``. With
  hexadecimal output the names are ``"key_hex"`` and ``"value_hex"``. Reading understands all of them.
* In TSV bytes stay as they are, but for ``\t``, ``\n``, ``\r`` and ``\\``.

All but the screen's form are exact: what is written is what is read back.
"""

from __future__ import annotations

import base64
import binascii
import os
import re

from lsmproc.cli.exit_codes import CannotError

_TSV_ESCAPES = {b"\\": b"\\\\", b"\t": b"\\t", b"\n": b"\\n", b"\r": b"\\r"}
_TSV_UNESCAPES = {escape: raw for raw, escape in _TSV_ESCAPES.items()}
_TSV_SPECIAL = re.compile(rb"[\\\t\n\r]")
_TSV_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)


def given_bytes(text: str, *, hexadecimal: bool) -> bytes:
    """The bytes that an argument means. Raises CannotError for digits that are not hexadecimal."""
    if not hexadecimal:
        return os.fsencode(text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise CannotError(f"{text!r} is not hexadecimal: give pairs of digits, such as 75736572") from None


def given_bound(text: str | None, *, hexadecimal: bool) -> bytes | None:
    """As given_bytes, for an option that may be absent."""
    return None if text is None else given_bytes(text, hexadecimal=hexadecimal)


def shown(data: bytes, *, hexadecimal: bool = False) -> str:
    """Bytes for the screen; see the module."""
    if hexadecimal:
        return data.hex()
    text = data.decode("utf-8", errors="surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors="surrogateescape"))


def json_field(name: str, data: bytes, *, hexadecimal: bool = False) -> tuple[str, str]:
    """Name and value of the JSON field for ``data``; see the module."""
    if hexadecimal:
        return f"{name}_hex", data.hex()
    try:
        return name, data.decode("utf-8")
    except UnicodeDecodeError:
        return f"{name}_base64", base64.b64encode(data).decode("ascii")


def bytes_of_json(record: dict[str, object], name: str) -> bytes:
    """The bytes of the field that json_field made. Raises ValueError with what is wrong."""
    forms = [form for form in (name, f"{name}_hex", f"{name}_base64") if form in record]
    if len(forms) != 1:
        raise ValueError(f"one of {name!r}, '{name}_hex' and '{name}_base64' is needed")
    text = record[forms[0]]
    if not isinstance(text, str):
        raise ValueError(f"{forms[0]!r} must be a string")  # noqa: TRY004 - the caller adds the line to ValueErrors
    try:
        if forms[0] == name:
            return text.encode("utf-8")
        return bytes.fromhex(text) if forms[0].endswith("_hex") else base64.b64decode(text, validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise ValueError(f"{forms[0]!r} cannot be decoded: {error}") from error


def tsv_field(data: bytes) -> bytes:
    """Bytes as one column of TSV."""
    return _TSV_SPECIAL.sub(lambda match: _TSV_ESCAPES[match[0]], data)


def bytes_of_tsv(column: bytes) -> bytes:
    """The inverse of tsv_field. Raises ValueError for a backslash that begins no escape."""
    if b"\\" not in column:
        return column
    return _TSV_ESCAPE.sub(_unescaped, column)


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[0] not in _TSV_UNESCAPES:
        raise ValueError(f"unknown escape {shown(match[0])}: a backslash itself is written twice")
    return _TSV_UNESCAPES[match[0]]
