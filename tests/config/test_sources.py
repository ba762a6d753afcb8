"""Settings from all their sources at once: which of them counts, where it came from, and everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmproc.config import Sources
from lsmproc.config.layers import Layer
from lsmproc.errors import ConfigError


def test_each_source_counts_over_the_one_before_and_is_named(tmp_path: Path) -> None:
    """Defaults, record, profile, file, environment, arguments."""
    file = tmp_path / "app.toml"
    file.write_text('# ours\nlevel_base_bytes = "1GiB"\nflush_workers = 3\n')
    sources = Sources(
        "/x",
        profile="bulk-load",
        file=file,
        environment={"LSMPROC_FLUSH_WORKERS": "5", "LSMPROC_BLOCK_BYTES": "8KiB", "HOME": "/root"},
        arguments={"block_bytes": 16384},
        layers=(Layer({"filter": "none", "memtable_max_bytes": 1 << 20}, {"filter": "record"}),),
    )
    resolved = sources.resolve()
    config, origins = resolved.config, resolved.origins
    assert ("argument", 16384) == (origins["block_bytes"], config.block_bytes)
    assert ("environment LSMPROC_FLUSH_WORKERS", 5) == (origins["flush_workers"], config.flush_workers)
    assert (f"{file}:2", 1 << 30) == (origins["level_base_bytes"], config.level_base_bytes)
    assert ("profile bulk-load:12", 128 << 20) == (origins["memtable_max_bytes"], config.memtable_max_bytes)
    assert ("record", "none") == (origins["filter"], config.filter)
    assert "default" == origins["wal"]


def test_the_environment_names_profile_and_file_where_the_caller_names_none(tmp_path: Path) -> None:
    """An operator changes the settings of a service without its code."""
    file = tmp_path / "app.toml"
    file.write_text("flush_workers = 3\n")
    environment = {"LSMPROC_PROFILE": "durable", "LSMPROC_CONFIG": str(file)}
    config = Sources("/x", environment=environment).resolve().config
    assert ("every_write", 3) == (config.wal_sync, config.flush_workers)
    assert "interval" == Sources("/x", profile="default", environment=environment).resolve().config.wal_sync


def test_both_names_of_a_sync_setting_have_the_origin_of_the_one_given() -> None:
    """wal_flush_every_write in one place explains wal_sync."""
    resolved = Sources("/x", environment={"LSMPROC_WAL_FLUSH_EVERY_WRITE": "true"}).resolve()
    assert ("every_write", "environment LSMPROC_WAL_FLUSH_EVERY_WRITE") == (
        resolved.config.wal_sync,
        resolved.origins["wal_sync"],
    )


def test_all_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    """A profile that does not exist does not hide a bad file, nor the file a bad variable."""
    file = tmp_path / "app.toml"
    file.write_text("compaction_workers = 0\nlevel0_stop_writes_trigger = 8\n")
    sources = Sources("/x", profile="durabel", file=file, environment={"LSMPROC_RATE_LIMT": "1MiB"})
    with pytest.raises(ConfigError) as caught:
        sources.resolve()
    profile, workers, stop, unknown = sorted(caught.value.problems, key=lambda text: "profile" not in text)
    assert "did you mean 'durable'?" in profile
    assert unknown.startswith("environment LSMPROC_RATE_LIMT: unknown setting 'rate_limt': did you mean 'rate_limit")
    assert f"{file}:1: compaction_workers = 0: must be at least 1" == workers
    assert stop.startswith(f"{file}:2: level0_stop_writes_trigger (8) must be above level0_slowdown_writes_trigger")


def test_values_of_the_environment_are_read_as_at_a_prompt() -> None:
    """Lists, flags and sizes; a value with a line break in it is no way to set another setting."""
    environment = {
        "LSMPROC_BLOOM_BITS_PER_KEY": "[10, 8]",
        "LSMPROC_RATE_LIMIT_AUTO": "true",
        "LSMPROC_WORKER_CPUS": "[3, 1, 1]",
        "LSMPROC_DATA_DIR": "1\nread_only = true",
    }
    config = Sources("/x", environment=environment).resolve().config
    assert ((10, 8), True, (1, 3), False) == (
        config.bloom_bits_per_key,
        config.rate_limit_auto,
        config.worker_cpus,
        config.read_only,
    )
