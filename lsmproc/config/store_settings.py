"""The settings of the store itself: its directory, memory, log, tables and the shape of its tree.

The first part of LSMConfig, which users see as one class. It stands in a file of its own because one that holds every
setting with its documentation would be too long to read; nothing else is built on it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from lsmproc.config.option import choice, count, directory, flag, milliseconds, numbers_by_level, seconds, size
from lsmproc.config.units import GIB, KIB, MIB, TIB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The settings of a store itself; see LSMConfig, which adds those of the work behind it."""

    data_dir: str | os.PathLike[str] = field(
        metadata=directory(
            what="Directory that holds the store's files; nothing else may live in it. Kept as text.",
            when="Always given; put it on a local disk. A relative path is relative to the working directory.",
            costs="Disk space for the live data, for versions not merged away yet, and for the log.",
        )
    )

    # Opening

    create_if_missing: bool = flag(
        True,
        what="Make a new store if the directory holds none.",
        when="Turn off where an empty store would hide a wrong path.",
        costs="Nothing.",
    )
    error_if_exists: bool = flag(
        False,
        what="Refuse a directory that already holds a store.",
        when="Turn on for jobs that must start from nothing.",
        costs="Nothing.",
    )
    read_only: bool = flag(
        False,
        what="Refuse every write and start no background work.",
        when="Turn on to look at a store without changing a byte of it.",
        costs="Unflushed log segments are replayed into memory at open.",
    )

    # Memory

    memtable_max_bytes: int = size(
        16 * MIB,
        low=KIB,
        high=4 * GIB,
        live=True,
        what="Bytes of keys and values at which the memtable is sealed and flushed; also the size of a log segment.",
        when="Raise for heavy or repetitive writes (fewer, larger flushes); lower where memory is short.",
        costs="Memory per memtable: 3 times this with values of 100 bytes, 1.2 times with 1,000. A longer recovery.",
    )
    memtable: Literal["dict", "sorted_dict"] = choice(
        "dict",
        "dict",
        "sorted_dict",
        what="What the memtable is: a dict that is sorted when a range is asked for, or one kept in order.",
        when="'sorted_dict' if most ranges are short and follow right after a write.",
        costs="'sorted_dict' adds about 2 us to each write of a new key.",
    )
    max_immutable_memtables: int = count(
        4,
        low=1,
        high=64,
        live=True,
        what="Sealed memtables that may wait for their flush before writes stop.",
        when="Raise to ride out bursts or a slow start of the flush worker.",
        costs="Memory of one memtable each, and the log segments under them.",
    )
    block_cache_bytes: int = size(
        64 * MIB,
        low=0,
        high=TIB,
        live=True,
        what="Bytes of uncompressed blocks of tables kept in memory.",
        when="Raise while the hit rate of a read-heavy store is below 90 %; 0 leaves caching to the kernel.",
        costs="The memory, in the owner process.",
    )
    row_cache_bytes: int = size(
        8 * MIB,
        low=0,
        high=TIB,
        live=True,
        what="Bytes of single records kept in memory; one is found in a fifth of the time that a cached block takes.",
        when="Raise to a few times the size of the hot keys; 0 turns it off. A flush empties it.",
        costs="The memory, in the owner process, and 0.1 us for each read that goes to a table.",
    )
    max_open_files: int | None = count(
        None,
        low=16,
        high=1_000_000,
        none="auto",
        live=True,
        what="Tables kept open at once; 'auto' takes half of the process's descriptor limit.",
        when="Lower if the host service needs the descriptors itself.",
        costs="One descriptor each, and its index and filter in memory (1.5 to 2 bytes for each key).",
    )

    # Log and durability

    wal_flush_every_write: bool = flag(
        False,
        live=True,
        what="The same as wal_sync = 'every_write'; either of the two sets both.",
        when="Turn on if an acknowledged write must survive a power cut.",
        costs="One disk sync per write, shared by writers that wait together.",
    )
    wal_sync: Literal["none", "interval", "every_write"] = choice(
        "interval",
        "none",
        "interval",
        "every_write",
        live=True,
        what="When the log reaches the disk. A killed process loses nothing under any of them; a power cut may.",
        when="'every_write' for money and promises, 'none' for data that can be made again.",
        costs="'every_write': a disk sync per commit (0.1 to 10 ms). 'interval': a thread syncs; inline, rotations.",
    )
    wal_sync_interval_ms: int = milliseconds(
        1000,
        low=1,
        high=3_600_000,
        live=True,
        what="Longest time between a write and its sync under wal_sync = 'interval', in milliseconds.",
        when="Lower to lose less in a power cut; raise on disks where a sync disturbs reads.",
        costs="One disk sync per interval while there are writes.",
    )
    wal: Literal["pwrite", "mapped"] = choice(
        "pwrite",
        "pwrite",
        "mapped",
        what="How log frames are written: one system call each, or copied into a mapped file.",
        when="'mapped' saves a third of a put of 100 bytes where the disk is known never to fail.",
        costs="With 'mapped', a bad sector or a file cut short by others kills the process with SIGBUS.",
    )
    manifest: Literal["log", "snapshot"] = choice(
        "log",
        "log",
        "snapshot",
        what="How changes of the tree are recorded: appended to a log, or as a whole new file each time.",
        when="'snapshot' for small stores whose manifest people want to read and copy.",
        costs="'snapshot' writes the whole list of tables at every flush and compaction.",
    )

    # Tables

    sstable_max_bytes: int = size(
        32 * MIB,
        low=KIB,
        high=16 * GIB,
        live=True,
        what="Size at which a compaction closes a table and starts the next one.",
        when="Raise for stores above 100 GiB (fewer files); lower for finer compactions.",
        costs="Larger tables: larger compactions and more space in flight. Smaller: more files to open.",
    )
    table_format: Literal["block", "plain"] = choice(
        "block",
        "block",
        "plain",
        live=True,
        what="Layout of new tables; tables of both formats can be read side by side.",
        when="'plain' for stores that fit in memory and are read by point lookups.",
        costs="'plain' is not compressed.",
    )
    block_bytes: int = size(
        4 * KIB,
        low=128,
        high=MIB,
        live=True,
        what="Raw bytes of keys and values at which a block of a table is closed.",
        when="Raise (16 KiB) for scans and compression; lower for random reads of small values.",
        costs="A point read that misses the cache decodes one whole block.",
    )
    compression: Literal["none", "lz4", "zstd"] = choice(
        "lz4",
        "none",
        "lz4",
        "zstd",
        live=True,
        what="Codec of new blocks. 'zstd' needs the extra lsmproc[zstd].",
        when="'zstd' if disk space matters more than compaction speed, 'none' for data that is compressed already.",
        costs="For a record of 116 bytes 0.14 us with 'lz4' and 0.47 us with 'zstd', in the worker.",
    )
    bottommost_compression: Literal["none", "lz4", "zstd"] | None = choice(
        None,
        "none",
        "lz4",
        "zstd",
        none="same",
        live=True,
        what="Codec of the deepest level, which holds most of the data; 'same' means that of compression.",
        when="'zstd' saves the most disk for the least work here.",
        costs="Slower decoding of the coldest blocks.",
    )
    filter: Literal["bloom", "none"] = choice(
        "bloom",
        "bloom",
        "none",
        live=True,
        what="Whether new tables carry a filter that spares reads of tables without the key.",
        when="'none' only for stores that are scanned and never asked for single keys.",
        costs="The bits of bloom_bits_per_key, resident, and 0.2 us for each key written.",
    )
    bloom_bits_per_key: tuple[int, ...] = numbers_by_level(
        (16, 14, 12),
        low=4,
        high=32,
        live=True,
        what="Bits of filter per key by level; upper levels get more, since every read passes them (Monkey).",
        when="Raise if lookups of missing keys dominate; lower where memory is short.",
        costs="At 12 bits 1.2 % false positives, at 16 bits 0.5 %; 1.5 or 2 bytes of memory per key.",
    )
    # Shape of the tree

    compaction_style: Literal["leveled", "tiered"] = choice(
        "leveled",
        "leveled",
        "tiered",
        what="How tables are merged: into levels of disjoint tables, or into ever larger sorted runs.",
        when="'tiered' for loads that write much more than they read.",
        costs="'tiered' writes each record fewer times, but reads ask more runs and old versions stay longer.",
    )
    level0_compaction_trigger: int = count(
        6,
        low=1,
        high=1000,
        live=True,
        what="Level-0 tables at which they are merged down.",
        when="Raise to write less, lower to read faster.",
        costs="Every level-0 table is one more filter to probe on each read.",
    )
    level0_slowdown_writes_trigger: int = count(
        20,
        low=2,
        high=10_000,
        live=True,
        what="Level-0 tables from which writes are slowed down.",
        when="Raise if bursts are short and reads can wait.",
        costs="Slower reads during the burst.",
    )
    level0_stop_writes_trigger: int = count(
        36,
        low=3,
        high=10_000,
        live=True,
        what="Level-0 tables from which writes stop until a merge is done.",
        when="Keep well above the slowdown trigger, so that writes slow down before they stop.",
        costs="Slower reads and a larger first merge.",
    )
    level_base_bytes: int = size(
        128 * MIB,
        low=KIB,
        high=16 * TIB,
        live=True,
        what="Target bytes of level 1.",
        when="Best near level0_compaction_trigger times memtable_max_bytes, so that both merges are of one size.",
        costs="Too small: more levels. Too large: every merge out of level 0 rewrites more.",
    )
    level_size_multiplier: int = count(
        10,
        low=2,
        high=100,
        live=True,
        what="How many times larger each level is than the one above.",
        when="Lower to write less per level, raise to have fewer levels.",
        costs="A record is rewritten up to about this often for each level it passes.",
    )
    soft_pending_compaction_bytes: int = size(
        16 * GIB,
        low=KIB,
        high=1024 * TIB,
        live=True,
        what="Compaction debt from which writes are slowed down.",
        when="Raise for bulk loads that are compacted afterwards.",
        costs="A larger tree to read until the debt is paid.",
    )
    hard_pending_compaction_bytes: int = size(
        64 * GIB,
        low=KIB,
        high=1024 * TIB,
        live=True,
        what="Compaction debt from which writes stop.",
        when="Raise together with the soft limit.",
        costs="Disk space of up to this much more than the live data.",
    )
    tombstone_retention_seconds: int = seconds(
        0,
        low=0,
        high=10 * 365 * 86400,
        live=True,
        what="How long a deletion stays in the tables at least, in seconds.",
        when="Raise if copies or followers must learn of deletions.",
        costs="Space and read time for the tombstones kept.",
    )
    idle_compaction_after_ms: int | None = milliseconds(
        1000,
        low=1,
        high=86_400_000,
        none="never",
        what="Time without a write after which a level 0 below its trigger is merged down, if that is worth writing.",
        when="'never' where every byte written counts. Only used with 'leveled', and with processes or threads.",
        costs="Up to 5 bytes written for each byte of level 0, and one core's time, while the store takes no writes.",
    )
    # Watching it run

    event_log: Literal["auto", "on", "off"] = choice(
        "auto",
        "auto",
        "on",
        "off",
        what="Whether events (flushes, compactions, stalls, deaths of workers) are written to the file LOG.",
        when="'off' where nothing may be written that is not needed; 'auto' is off with background = 'inline'.",
        costs="About 300 bytes for each event, written four times a second at most and never synced.",
    )
    event_log_max_bytes: int = size(
        4 * MIB,
        low=KIB,
        high=GIB,
        what="Size at which LOG becomes LOG.old.1 and a new one is begun.",
        when="Raise to keep a longer history in one file.",
        costs="Disk space of this much for LOG and for each old one.",
    )
    event_log_old_files: int = count(
        4,
        low=0,
        high=16,
        what="How many old event logs are kept.",
        when="Raise to look further back.",
        costs="Disk space of event_log_max_bytes each.",
    )
    status_page: bool = flag(
        True,
        what="Rewrite the file STATUS about once a second, for lsmproc top and other programs; not with 'inline'.",
        when="Turn off where a write a second is too much, as on a disk that should sleep.",
        costs="Less than 1 ms of CPU time a second; it is not synced. Nothing for stores open for less than a second.",
    )
