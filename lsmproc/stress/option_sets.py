"""The option sets that the rig draws from: most are far too small, so that workers are always busy."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class OptionSet:
    """Options of the store under test and the load that suits them."""

    name: str
    options: MappingProxyType[str, Any]
    keys_per_thread: int
    value_max_bytes: int
    batch_max_records: int
    busy: bool  # flushes and compactions follow each other without a pause: worker kills find something to kill

    @property
    def writes_log(self) -> bool:
        """Whether the log is written by calls that a file system sees, and not stored into a mapping."""
        return self.options.get("wal") != "mapped"

    @property
    def small(self) -> bool:
        """Whether everything is so small that each kind of operation comes many times in a second."""
        return int(self.options["memtable_max_bytes"]) <= 64 * KIB

    def suits(self, volume: str) -> bool:
        """Whether the set can be tried there: the model of a disk does not see what is stored into a mapping."""
        return volume != "model" or self.writes_log


def _set(
    name: str, keys: int, value_max: int, options: dict[str, Any], *, batch_max: int = 12, busy: bool = True
) -> OptionSet:
    return OptionSet(name, MappingProxyType(options), keys, value_max, batch_max, busy)


_TINY = {
    "memtable_max_bytes": 16 * KIB,
    "sstable_max_bytes": 16 * KIB,
    "level_base_bytes": 64 * KIB,
    "level_size_multiplier": 4,
    "level0_compaction_trigger": 2,
    "block_bytes": 512,
}
_SMALL = {
    "memtable_max_bytes": 64 * KIB,
    "sstable_max_bytes": 32 * KIB,
    "level_base_bytes": 128 * KIB,
    "level_size_multiplier": 4,
    "level0_compaction_trigger": 2,
    "block_bytes": 1 * KIB,
}
_LARGE = {
    "memtable_max_bytes": 4 * MIB,
    "sstable_max_bytes": 1 * MIB,
    "level_base_bytes": 4 * MIB,
    "level0_compaction_trigger": 2,
}
OPTION_SETS = (
    _set("tiny", 400, 600, _TINY),
    _set("small", 1000, 1000, _SMALL),
    _set("tiered", 600, 600, {**_TINY, "compaction_style": "tiered"}),
    _set("plain", 400, 600, {**_TINY, "table_format": "plain", "manifest": "snapshot", "memtable": "sorted_dict"}),
    _set("mapped", 600, 800, {**_SMALL, "wal": "mapped", "filter": "none", "compression": "none"}),
    _set("large-values", 60, 256 * KIB, _LARGE, batch_max=8),
    _set("normal", 2000, 1000, {"memtable_max_bytes": 4 * MIB}, busy=False),
)
