"""LSMConfig: every setting of a store, in one frozen value.

Each field says what it decides, when to change it and what that costs, as ``LSMConfig.explain(name)`` prints it.
Sizes are bytes and times are in the unit that ends the field's name; both may also be given as text ("64MiB",
"250ms"; for a type checker in ``from_options`` only). A value that cannot work is refused when the config is made.
"""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, Self

from lsmproc.config.checks import check
from lsmproc.config.explanation import explain
from lsmproc.config.layers import Layer, merged
from lsmproc.config.option import choice, count, directory, flag, milliseconds, numbers_by_level, seconds, size
from lsmproc.config.profiles import profile_layer
from lsmproc.config.toml_file import read_toml, write_toml
from lsmproc.config.units import GIB, KIB, MIB, TIB
from lsmproc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LSMConfig:
    """The settings of one store. Immutable, comparable and picklable; ``replace`` makes a changed copy."""

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
        what="Sealed memtables that may wait for their flush before writes stop.",
        when="Raise to ride out bursts or a slow start of the flush worker.",
        costs="Memory of one memtable each, and the log segments under them.",
    )
    block_cache_bytes: int = size(
        64 * MIB,
        low=0,
        high=TIB,
        what="Bytes of uncompressed blocks of tables kept in memory.",
        when="Raise while the hit rate of a read-heavy store is below 90 %; 0 leaves caching to the kernel.",
        costs="The memory, in the owner process.",
    )
    row_cache_bytes: int = size(
        8 * MIB,
        low=0,
        high=TIB,
        what="Bytes of single records kept in memory; one is found in a fifth of the time that a cached block takes.",
        when="Raise to a few times the size of the hot keys; 0 turns it off. A flush empties it.",
        costs="The memory, in the owner process, and 0.1 us for each read that goes to a table.",
    )
    max_open_files: int | None = count(
        None,
        low=16,
        high=1_000_000,
        none="auto",
        what="Tables kept open at once; 'auto' takes half of the process's descriptor limit.",
        when="Lower if the host service needs the descriptors itself.",
        costs="One descriptor each, and its index and filter in memory (1.5 to 2 bytes for each key).",
    )

    # Log and durability

    wal_flush_every_write: bool = flag(
        False,
        what="The same as wal_sync = 'every_write'; either of the two sets both.",
        when="Turn on if an acknowledged write must survive a power cut.",
        costs="One disk sync per write, shared by writers that wait together.",
    )
    wal_sync: Literal["none", "interval", "every_write"] = choice(
        "interval",
        "none",
        "interval",
        "every_write",
        what="When the log reaches the disk. A killed process loses nothing under any of them; a power cut may.",
        when="'every_write' for money and promises, 'none' for data that can be made again.",
        costs="'every_write': a disk sync per commit (0.1 to 10 ms). 'interval': a thread syncs; inline, rotations.",
    )
    wal_sync_interval_ms: int = milliseconds(
        1000,
        low=1,
        high=3_600_000,
        what="Longest time between a write and its sync under wal_sync = 'interval', in milliseconds.",
        when="Lower to lose less in a power cut; raise on disks where a sync disturbs reads.",
        costs="One disk sync per interval while there are writes.",
    )
    wal: Literal["pwrite", "mapped"] = choice(
        "pwrite",
        "pwrite",
        "mapped",
        what="How log frames are written: one system call each, or copied into a mapped file.",
        when="'mapped' saves about 0.3 us per write where the disk is known never to fail or fill up.",
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
        what="Size at which a compaction closes a table and starts the next one.",
        when="Raise for stores above 100 GiB (fewer files); lower for finer compactions.",
        costs="Larger tables: larger compactions and more space in flight. Smaller: more files to open.",
    )
    table_format: Literal["block", "plain"] = choice(
        "block",
        "block",
        "plain",
        what="Layout of new tables; tables of both formats can be read side by side.",
        when="'plain' for stores that fit in memory and are read by point lookups.",
        costs="'plain' is not compressed.",
    )
    block_bytes: int = size(
        4 * KIB,
        low=128,
        high=MIB,
        what="Raw bytes of keys and values at which a block of a table is closed.",
        when="Raise (16 KiB) for scans and compression; lower for random reads of small values.",
        costs="A point read that misses the cache decodes one whole block.",
    )
    compression: Literal["none", "lz4", "zstd"] = choice(
        "lz4",
        "none",
        "lz4",
        "zstd",
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
        what="Codec of the deepest level, which holds most of the data; 'same' means that of compression.",
        when="'zstd' saves the most disk for the least work here.",
        costs="Slower decoding of the coldest blocks.",
    )
    filter: Literal["bloom", "none"] = choice(
        "bloom",
        "bloom",
        "none",
        what="Whether new tables carry a filter that spares reads of tables without the key.",
        when="'none' only for stores that are scanned and never asked for single keys.",
        costs="The bits of bloom_bits_per_key, resident, and 0.2 us for each key written.",
    )
    bloom_bits_per_key: tuple[int, ...] = numbers_by_level(
        (16, 14, 12),
        low=4,
        high=32,
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
        what="Level-0 tables at which they are merged down.",
        when="Raise to write less, lower to read faster.",
        costs="Every level-0 table is one more filter to probe on each read.",
    )
    level0_slowdown_writes_trigger: int = count(
        20,
        low=2,
        high=10_000,
        what="Level-0 tables from which writes are slowed down.",
        when="Raise if bursts are short and reads can wait.",
        costs="Slower reads during the burst.",
    )
    level0_stop_writes_trigger: int = count(
        36,
        low=3,
        high=10_000,
        what="Level-0 tables from which writes stop until a merge is done.",
        when="Keep well above the slowdown trigger, so that writes slow down before they stop.",
        costs="Slower reads and a larger first merge.",
    )
    level_base_bytes: int = size(
        128 * MIB,
        low=KIB,
        high=16 * TIB,
        what="Target bytes of level 1.",
        when="Best near level0_compaction_trigger times memtable_max_bytes, so that both merges are of one size.",
        costs="Too small: more levels. Too large: every merge out of level 0 rewrites more.",
    )
    level_size_multiplier: int = count(
        10,
        low=2,
        high=100,
        what="How many times larger each level is than the one above.",
        when="Lower to write less per level, raise to have fewer levels.",
        costs="A record is rewritten up to about this often for each level it passes.",
    )
    soft_pending_compaction_bytes: int = size(
        16 * GIB,
        low=KIB,
        high=1024 * TIB,
        what="Compaction debt from which writes are slowed down.",
        when="Raise for bulk loads that are compacted afterwards.",
        costs="A larger tree to read until the debt is paid.",
    )
    hard_pending_compaction_bytes: int = size(
        64 * GIB,
        low=KIB,
        high=1024 * TIB,
        what="Compaction debt from which writes stop.",
        when="Raise together with the soft limit.",
        costs="Disk space of up to this much more than the live data.",
    )
    tombstone_retention_seconds: int = seconds(
        0,
        low=0,
        high=10 * 365 * 86400,
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

    # Background work

    background: Literal["process", "thread", "inline"] = choice(
        "process",
        "process",
        "thread",
        "inline",
        what="Where flushes and compactions run: worker processes, threads, or the writing call itself.",
        when="'thread' where processes are forbidden; 'inline' for tests and short scripts that want no concurrency.",
        costs="'process': about 16 MiB for each worker. 'thread' shares the interpreter lock. 'inline': writes wait.",
    )
    flush_workers: int = count(
        1,
        low=1,
        high=64,
        what="Workers that only flush.",
        when="2 if writes stop for want of flushes while the disk has room to spare.",
        costs="One process of about 16 MiB each.",
    )
    compaction_workers: int = count(
        2,
        low=1,
        high=64,
        what="Workers that compact; one large compaction is split over several.",
        when="Raise while the debt grows and there are idle cores; never above the number of cores.",
        costs="One process of about 16 MiB and up to one core each.",
    )
    worker_niceness: int = count(
        10,
        low=0,
        high=19,
        what="How far compaction workers step back from other processes for CPU time (nice); flush workers never do.",
        when="Lower where the debt grows although other processes leave too little time for compactions.",
        costs="Debt grows while the machine is busy. With 0, compactions slow down writes where cores are few.",
    )
    worker_hang_seconds: int = seconds(
        300,
        low=10,
        high=86_400,
        what="A worker that gives no sign of life for so long in a job is killed, and the job run again by another.",
        when="Raise where one sync of a table may take minutes; lower where a stopped worker must be replaced sooner.",
        costs="Too low: a slow disk looks like a hung worker, and a job that loses three workers ends writes.",
    )
    rate_limit_bytes_per_sec: int | None = size(
        None,
        low=KIB,
        high=TIB,
        none="unlimited",
        rate=True,
        what="Bytes per second that all workers together may write.",
        when="Set to leave disk bandwidth to reads and to the log; at least 2 times the rate of flushes.",
        costs="Too low: the debt grows and writes are slowed down.",
    )

    def __post_init__(self) -> None:
        """Check and normalise all fields, then the rules between them; raises ConfigError."""
        values, problems = check(fields(self), self._values())
        if problems:
            raise ConfigError(problem.text() for problem in problems)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_options(cls, data_dir: str | os.PathLike[str], /, **options: Any) -> Self:
        """The config of these options. As the constructor, but a misspelt option is a ConfigError with a remedy."""
        return cls._of_layers(Layer({"data_dir": data_dir, **options}))

    @classmethod
    def from_profile(cls, name: str, data_dir: str | os.PathLike[str], /, **overrides: Any) -> Self:
        """One of the profiles that come with the package (see ``profile_names``), with changes."""
        return cls._of_layers(profile_layer(name), Layer({"data_dir": data_dir, **overrides}))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], /, *, profile: str | None = None, **overrides: Any) -> Self:
        """The options in a file, over a profile, under ``overrides``. ConfigError names its lines; OSError."""
        below = (profile_layer(profile),) if profile is not None else ()
        return cls._of_layers(*below, read_toml(path), Layer(overrides))

    def replace(self, **changes: Any) -> Self:
        """A copy with these changes, checked anew."""
        return self._of_layers(Layer(self._values()), Layer(changes))

    def to_toml(self, *, explained: bool = False) -> str:
        """All settings as TOML that ``from_toml`` reads back; with ``explained``, each under its documentation."""
        return write_toml(fields(self), self._values(), explained=explained)

    @classmethod
    def explain(cls, name: str) -> str:
        """What a setting decides, accepts and costs. Raises ConfigError for an unknown name."""
        return explain(fields(cls), name)

    def __repr__(self) -> str:
        """The settings that differ from their defaults, as the call that makes them."""
        changed = (f for f in fields(self) if f.default is MISSING or getattr(self, f.name) != f.default)
        return f"LSMConfig({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"

    def _values(self) -> dict[str, object]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def _of_layers(cls, *layers: Layer) -> Self:
        values, origins = merged(layers)
        checked, problems = check(fields(cls), values)
        if problems:
            raise ConfigError(problem.text(origins) for problem in problems)
        return cls(**checked)
