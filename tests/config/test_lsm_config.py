"""LSMConfig as a value: what it accepts, refuses and explains."""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from lsmproc.config import LSMConfig
from lsmproc.errors import ConfigError
from lsmproc.opening.configured_parts import table_options


def test_only_the_directory_is_needed() -> None:
    """Every other setting has a default."""
    config = LSMConfig(data_dir=Path("/data") / "x")
    assert ("/data/x", 16 << 20, "interval", (16, 14, 12)) == (
        config.data_dir,
        config.memtable_max_bytes,
        config.wal_sync,
        config.bloom_bits_per_key,
    )
    with pytest.raises(TypeError, match="data_dir"):
        LSMConfig()  # type: ignore[call-arg]


def test_values_in_words_become_numbers() -> None:
    """After construction nobody has to think of units again."""
    config = LSMConfig.from_options(
        "/x",
        memtable_max_bytes="1.5MiB",
        wal_sync_interval_ms="2s",
        tombstone_retention_seconds="1d",
        rate_limit_bytes_per_sec="32MiB/s",
        bloom_bits_per_key=10,
        max_open_files="auto",
        bottommost_compression="same",
    )
    assert (3 << 19, 2000, 86_400, 32 << 20, (10,), None, None) == (
        config.memtable_max_bytes,
        config.wal_sync_interval_ms,
        config.tombstone_retention_seconds,
        config.rate_limit_bytes_per_sec,
        config.bloom_bits_per_key,
        config.max_open_files,
        config.bottommost_compression,
    )


def test_all_problems_are_told_at_once_in_the_order_of_the_settings() -> None:
    """A person repairs a configuration in one go, not one error at a time."""
    with pytest.raises(ConfigError) as caught:
        LSMConfig.from_options(
            "/x", rate_limt="4MiB", memtable_max_bytes="64MB", compaction_workers=0, level0_stop_writes_trigger=8
        )
    assert (
        "unknown setting 'rate_limt': did you mean 'rate_limit_bytes_per_sec'?",
        "memtable_max_bytes = '64MB': 'MB' is no unit of size (B, KiB, MiB, GiB, TiB); did you mean '64MiB'?",
        "compaction_workers = 0: must be at least 1",
        (
            "level0_stop_writes_trigger (8) must be above level0_slowdown_writes_trigger (20): "
            "writes slow down before they stop"
        ),
    ) == caught.value.problems


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("data_dir", "", "must be the path of a directory"),
        ("data_dir", b"/x", "must be the path of a directory"),
        ("data_dir", "a\0b", "must be the path of a directory"),
        ("read_only", 1, "must be true or false"),
        ("flush_workers", True, "must be a whole number"),
        ("flush_workers", 1.0, "must be a whole number"),
        ("flush_workers", "1", "must be a whole number"),
        ("max_open_files", 3, "must be at least 16"),
        ("max_open_files", "many", "must be a whole number or 'auto'"),
        ("wal_sync", "always", "must be 'none', 'interval' or 'every_write'"),
        ("wal_sync", None, "must be 'none', 'interval' or 'every_write'"),
        ("memtable_max_bytes", "5GiB", "must be at most 4,294,967,296"),
        ("memtable_max_bytes", None, "must be a whole number"),
        ("bloom_bits_per_key", (), "whole numbers from 4 to 32"),
        ("bloom_bits_per_key", (12, 2.5), "whole numbers from 4 to 32"),
        ("write_buffer_size", 4, "did you mean 'memtable_max_bytes'"),
        ("colour", "red", "LSMConfig.explain tells of each setting"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: object, sentence: str) -> None:
    """The message names the setting and says what would be right."""
    with pytest.raises(ConfigError) as caught:
        LSMConfig.from_options("/x").replace(**{name: value})
    (problem,) = caught.value.problems
    assert name in problem
    assert sentence in problem


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"level0_slowdown_writes_trigger": 4}, "above level0_compaction_trigger"),
        ({"soft_pending_compaction_bytes": "64GiB"}, "above soft_pending_compaction_bytes"),
        ({"sstable_max_bytes": "2KiB"}, "a table holds at least one block"),
        ({"wal_flush_every_write": True, "wal_sync": "none"}, "contradicts"),
        ({"error_if_exists": True, "create_if_missing": False}, "refuses every directory"),
        ({"error_if_exists": True, "read_only": True}, "a store that is only read must exist"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options: dict[str, object], sentence: str) -> None:
    """A rule between settings is checked when the config is made, not when it first hurts."""
    with pytest.raises(ConfigError, match=sentence) as caught:
        LSMConfig.from_options("/x", **options)
    assert 1 == len(caught.value.problems)


def test_a_codec_that_is_not_installed_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the first flush would find out, in another process."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'lsmproc\[zstd\]'"):
        LSMConfig(data_dir="/x", compression="zstd")


def test_the_two_names_of_syncing_every_write_mean_the_same() -> None:
    """Whichever was given, both attributes can be asked."""
    first = LSMConfig(data_dir="/x", wal_flush_every_write=True)
    assert first == LSMConfig(data_dir="/x", wal_sync="every_write")
    assert (True, "every_write") == (first.wal_flush_every_write, first.wal_sync)


def test_replacing_one_name_of_syncing_replaces_both() -> None:
    """A later word on the same subject wins, under either of its names."""
    durable = LSMConfig(data_dir="/x", wal_sync="every_write")
    for changed in (durable.replace(wal_sync="interval"), durable.replace(wal_flush_every_write=False)):
        assert (False, "interval") == (changed.wal_flush_every_write, changed.wal_sync)


def test_replace_leaves_the_original_alone() -> None:
    """A config is a value: shared freely, changed never."""
    config = LSMConfig(data_dir="/x")
    changed = config.replace(block_bytes="8KiB")
    assert (4096, 8192) == (config.block_bytes, changed.block_bytes)
    with pytest.raises(FrozenInstanceError):
        config.block_bytes = 1  # type: ignore[misc]


def test_a_config_travels_to_another_process() -> None:
    """The host application may use pickle, even though lsmproc does not."""
    config = LSMConfig(data_dir="/x", memtable_max_bytes=1 << 20)
    copy = pickle.loads(pickle.dumps(config))
    assert config == copy
    assert hash(config) == hash(copy)


def test_the_repr_shows_what_differs_from_the_defaults() -> None:
    """Thirty defaults would hide the two settings that matter, and the text still makes an equal config."""
    config = LSMConfig(data_dir="/x", block_bytes=8192)
    assert "LSMConfig(data_dir='/x', block_bytes=8192)" == repr(config)


@pytest.mark.parametrize("name", [f.name for f in fields(LSMConfig)])
def test_each_setting_explains_itself(name: str) -> None:
    """Meaning, occasion, price and limits of every setting are one call away."""
    first, what, *rest = LSMConfig.explain(name).splitlines()
    assert name == first.partition(" = ")[0]
    assert what.endswith(".")
    assert ["When:", "Costs:", "Accepts:", "Changed:"] == [line.split()[0] for line in rest]


def test_explaining_an_unknown_setting_names_the_likeliest() -> None:
    """A typing mistake at a prompt gets the same help as one in a file."""
    with pytest.raises(ConfigError, match="did you mean 'block_bytes'"):
        LSMConfig.explain("blok_bytes")


def test_filter_bits_and_codec_of_a_level_follow_the_settings() -> None:
    """The last number of bits holds for all deeper levels; the bottommost level may have a codec of its own."""
    config = LSMConfig(data_dir="/x", bottommost_compression="none")
    assert [16, 14, 12, 12] == [
        table_options(config, level, bottommost=False).filter_bits_per_key for level in (0, 1, 2, 6)
    ]
    assert ["none", "lz4"] == [table_options(config, 2, bottommost=lowest).compression for lowest in (True, False)]
    plain = table_options(config.replace(filter="none", bottommost_compression=None), 0, bottommost=True)
    assert (0, "lz4") == (plain.filter_bits_per_key, plain.compression)
