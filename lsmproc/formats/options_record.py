r"""The file OPTIONS: what a store was opened with last, as text that people, and ``LSMConfig.from_toml``, can read.

::

    # lsmproc options 1 crc32 5d41402a\n         1 is the layout; the checksum is of all bytes that follow
    memtable_max_bytes = "32MiB"\n              one line for each setting: name, " = ", its TOML value
    ...

Nothing depends on it: it only tells, and a record that does not check counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from zlib import crc32

from lsmproc.errors import CorruptionError

MAX_BYTES = 1 << 16
_FIRST_LINE = re.compile(rb"# lsmproc options 1 crc32 ([0-9a-f]{8})\n")
_SETTING = re.compile(r"([a-z0-9_]{1,64}) = (.{1,4096})")


def encode_options(settings: Mapping[str, str]) -> bytes:
    """The record of settings, given as TOML writes each of them."""
    body = "".join(f"{name} = {value}\n" for name, value in settings.items()).encode()
    return b"# lsmproc options 1 crc32 %08x\n" % crc32(body) + body


def decode_options(data: bytes) -> dict[str, str]:
    """The inverse of encode_options. Raises CorruptionError for anything that is not one whole record."""
    first = _FIRST_LINE.match(data)
    if first is None or len(data) > MAX_BYTES:
        raise CorruptionError("it is no record of options of layout 1")
    body = data[first.end() :]
    if crc32(body) != int(first[1], 16):
        raise CorruptionError("the checksum of the options does not match")
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError as error:
        raise CorruptionError(f"the options are not UTF-8: {error}") from error
    settings = [_SETTING.fullmatch(line) for line in lines]
    if not all(settings):
        raise CorruptionError("a line of the options is no setting")
    return {setting[1]: setting[2] for setting in settings if setting}
