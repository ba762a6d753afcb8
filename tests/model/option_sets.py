"""The sets of options that the model tests run with: together they name each choice of each option at least twice.

Memtables, tables and levels are as small as options allow, so that a few dozen writes make a deep tree.
"""

from __future__ import annotations

from typing import Any

_TINY: dict[str, Any] = {
    "memtable_max_bytes": 1024,
    "sstable_max_bytes": 1024,
    "block_bytes": 128,
    "level_base_bytes": 1024,
    "level_size_multiplier": 2,
    "level0_compaction_trigger": 2,
}

OPTION_SETS: dict[str, dict[str, Any]] = {
    "tiny": _TINY,
    "tiny-tiered": _TINY | {"compaction_style": "tiered"},
    "sorted-memtable": _TINY | {"memtable": "sorted_dict", "compression": "none"},
    "mapped-log": _TINY | {"wal": "mapped", "wal_sync": "every_write"},
    "plain-tables": _TINY | {"table_format": "plain", "filter": "none"},
    "plain-tiered": _TINY | {"table_format": "plain", "compaction_style": "tiered", "memtable": "sorted_dict"},
    "snapshot-manifest": _TINY | {"manifest": "snapshot", "wal_sync": "none"},
    "zstd": _TINY | {"compression": "zstd", "bloom_bits_per_key": (4,), "wal_sync": "interval"},
    "zstd-bottommost": _TINY | {"bottommost_compression": "zstd", "compression": "none", "filter": "none"},
    "synced": _TINY | {"wal_sync": "every_write", "manifest": "snapshot", "compaction_style": "tiered"},
    "unsynced-mapped": _TINY | {"wal": "mapped", "wal_sync": "none", "memtable": "sorted_dict"},
    "no-cache": _TINY | {"block_cache_bytes": 0, "max_open_files": 16, "compression": "lz4"},
    "wide-level0": _TINY
    | {"level0_compaction_trigger": 6, "level0_slowdown_writes_trigger": 30, "level0_stop_writes_trigger": 60},
    "long-retention": _TINY | {"tombstone_retention_seconds": 3600, "level_size_multiplier": 4},
    "one-table-levels": _TINY | {"sstable_max_bytes": 64 << 10, "memtable_max_bytes": 4096, "block_bytes": 4096},
}
