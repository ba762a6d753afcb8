"""Settings in TOML files: read with the line of each problem, written so that they read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmproc.config import LSMConfig
from lsmproc.config.toml_file import parse_toml
from lsmproc.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_overrides_win_over_the_file_and_the_file_over_the_profile(tmp_path: Path) -> None:
    """The nearer a setting is to the call, the more it counts."""
    file = tmp_path / "app.toml"
    file.write_text('data_dir = "/data"\nmemtable_max_bytes = "8MiB"\nblock_bytes = 8192\n')
    config = LSMConfig.from_toml(file, profile="bulk-load", block_bytes="16KiB")
    assert ("/data", 8 << 20, 16 << 10, "none") == (
        config.data_dir,
        config.memtable_max_bytes,
        config.block_bytes,
        config.wal_sync,
    )


def test_each_problem_is_told_with_file_and_line(tmp_path: Path) -> None:
    """An operator edits the line that the message names."""
    file = tmp_path / "app.toml"
    file.write_text(
        "# ours\n\nrate_limt = 4\ncompaction_workers = 0\n\nlevel0_stop_writes_trigger = 8\n[wal]\nsync = 1\n[a]\n"
    )
    with pytest.raises(ConfigError) as caught:
        LSMConfig.from_toml(file)
    assert (
        f"{file}:3: unknown setting 'rate_limt': did you mean 'rate_limit_bytes_per_sec'?",
        f"{file}:4: compaction_workers = 0: must be at least 1",
        (
            f"{file}:6: level0_stop_writes_trigger (8) must be above level0_slowdown_writes_trigger (20): "
            "writes slow down before they stop"
        ),
        f"{file}:7: [wal] is a table: settings stand at the top level of the file, without tables",
        f"{file}:9: [a] is a table: settings stand at the top level of the file, without tables",
        "data_dir is missing: every store needs it",
    ) == caught.value.problems


def test_a_rule_is_blamed_on_the_setting_that_the_file_gives(tmp_path: Path) -> None:
    """The other side of the rule may be a default, which no line can be named for."""
    file = tmp_path / "app.toml"
    file.write_text('data_dir = "/x"\nsoft_pending_compaction_bytes = "100GiB"\n')
    with pytest.raises(ConfigError) as caught:
        LSMConfig.from_toml(file)
    assert caught.value.problems[0].startswith(f"{file}:2: hard_pending_compaction_bytes")


def test_an_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    """The file's line is fine: the caller's value is not."""
    file = tmp_path / "app.toml"
    file.write_text('data_dir = "/x"\nflush_workers = 1\n')
    with pytest.raises(ConfigError) as caught:
        LSMConfig.from_toml(file, flush_workers=0)
    assert ("flush_workers = 0: must be at least 1",) == caught.value.problems


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"a = 1\nb = = 2\n", 2), (b"a = 1\na = 2\n", 2), (b"a = 1\n\nb = '\xff'\n", 3), (b"a = 1\nb = [", 2)],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(data: bytes, line: int) -> None:
    """Damage of the file itself is reported in the form of any other problem."""
    with pytest.raises(ConfigError, match=f"app.toml:{line}: "):
        parse_toml(data, "app.toml")


def test_a_missing_file_is_the_usual_error(tmp_path: Path) -> None:
    """A wrong path is no problem of the configuration."""
    with pytest.raises(FileNotFoundError):
        LSMConfig.from_toml(tmp_path / "none.toml")


@given(
    st.builds(
        LSMConfig,
        data_dir=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        memtable_max_bytes=st.integers(1024, 1 << 32),
        wal_sync_interval_ms=st.integers(1, 3_600_000),
        tombstone_retention_seconds=st.integers(0, 10**8),
        rate_limit_bytes_per_sec=st.none() | st.integers(1024, 1 << 40),
        max_open_files=st.none() | st.integers(16, 10**6),
        bottommost_compression=st.sampled_from([None, "none", "lz4"]),
        bloom_bits_per_key=st.lists(st.integers(4, 32), min_size=1, max_size=7),
        wal_sync=st.sampled_from(["none", "interval", "every_write"]),
        read_only=st.booleans(),
    ),
    st.booleans(),
)
def test_what_to_toml_writes_reads_back_as_an_equal_config(config: LSMConfig, explained: bool) -> None:
    """The text is a complete copy, with or without its comments."""
    text = config.to_toml(explained=explained)
    values = dict(parse_toml(text.encode(), "copy.toml").values)
    assert config == LSMConfig.from_options(values.pop("data_dir"), **values)  # type: ignore[arg-type]
