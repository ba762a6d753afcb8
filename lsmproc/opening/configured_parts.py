"""What the settings of a store mean for its parts: how tables are written, when writes wait, what is merged next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.compaction.leveled_picker import LeveledOptions, LeveledPicker
from lsmproc.compaction.tiered_picker import TieredOptions, TieredPicker
from lsmproc.formats.messages import TableOptions
from lsmproc.writing.write_controller import WriteControllerOptions

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.protocols import CompactionPicker


def table_options(config: LSMConfig, level: int, bottommost: bool) -> TableOptions:
    """How a table of ``level`` is written; ``bottommost`` says that nothing lies below it."""
    bits = config.bloom_bits_per_key
    compression = config.bottommost_compression if bottommost else None
    return TableOptions(
        table_format=config.table_format,
        block_bytes=config.block_bytes,
        compression=compression or config.compression,
        filter_kind=config.filter,
        filter_bits_per_key=bits[min(level, len(bits) - 1)] if config.filter != "none" else 0,
        max_file_bytes=config.sstable_max_bytes,
    )


def controller_options(config: LSMConfig) -> WriteControllerOptions:
    """When writes are slowed down and stopped."""
    return WriteControllerOptions(
        max_immutable_memtables=config.max_immutable_memtables,
        level0_slowdown_writes_trigger=config.level0_slowdown_writes_trigger,
        level0_stop_writes_trigger=config.level0_stop_writes_trigger,
        soft_pending_compaction_bytes=config.soft_pending_compaction_bytes,
        hard_pending_compaction_bytes=config.hard_pending_compaction_bytes,
    )


def make_picker(config: LSMConfig) -> CompactionPicker:
    """What decides which tables are merged next."""
    if config.compaction_style == "tiered":
        return TieredPicker(TieredOptions(run_count_trigger=config.level0_compaction_trigger))
    return LeveledPicker(
        LeveledOptions(
            level0_compaction_trigger=config.level0_compaction_trigger,
            level0_slowdown_writes_trigger=config.level0_slowdown_writes_trigger,
            level_base_bytes=config.level_base_bytes,
            level_size_multiplier=config.level_size_multiplier,
            max_file_bytes=config.sstable_max_bytes,
            soft_pending_compaction_bytes=config.soft_pending_compaction_bytes,
        )
    )
