"""The record of options: whole or nothing, and readable by people and by LSMConfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmproc.config import LSMConfig
from lsmproc.config.option_changes import written_settings
from lsmproc.errors import CorruptionError
from lsmproc.formats.options_record import decode_options, encode_options

GOLDEN = b'# lsmproc options 1 crc32 e8429d09\nwal_sync = "none"\nflush_workers = 2\n'


def test_the_bytes_are_the_documented_ones() -> None:
    """Another release reads what this one wrote."""
    settings = {"wal_sync": '"none"', "flush_workers": "2"}
    assert GOLDEN == encode_options(settings)
    assert settings == decode_options(GOLDEN)


def test_no_byte_can_change_or_go_unnoticed() -> None:
    """A record is for reports, and a wrong report is worse than none."""
    damaged = [GOLDEN[:i] + bytes([GOLDEN[i] ^ bit]) + GOLDEN[i + 1 :] for i in range(len(GOLDEN)) for bit in (1, 128)]
    for data in [*damaged, *(GOLDEN[:end] for end in range(len(GOLDEN))), GOLDEN * 2, b"#" * 70_000]:
        with pytest.raises(CorruptionError):
            decode_options(data)


def test_the_record_is_a_file_of_settings(tmp_path: Path) -> None:
    """What a store was opened with can be taken to another one."""
    config = LSMConfig.from_profile("bulk-load", tmp_path)
    (tmp_path / "OPTIONS").write_bytes(encode_options(written_settings(config)))
    assert config == LSMConfig.from_toml(tmp_path / "OPTIONS", data_dir=str(tmp_path))
