"""What a run was asked for, as one frozen value that travels to each session and into the saved results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

MIB = 1 << 20
RECORD_COUNT = 100_000
SYNC_DIVISOR = 100  # a synced put takes about this many times as long as one without
MAX_SYNCED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Counts, sizes and the settings that every system is opened with as far as it has them."""

    num: int = RECORD_COUNT  # records of a loaded store, and operations of a workload
    reads: int | None = None  # operations of workloads that read or mix; None: as many as records
    key_size: int = 16  # bytes
    value_size: int = 100  # bytes
    threads: int = 1
    distribution: str = "uniform"  # of the keys of overwrites and reads; or "zipfian"
    batch_size: int = 100  # records of a batch, keys of a multiread
    seek_nexts: int = 10  # records read after each seek
    write_rate: int = 20_000  # puts per second of the writer beside the reads
    compressibility: float = 0.5  # what compression leaves of a value, as in db_bench
    write_buffer_bytes: int = 16 * MIB
    cache_bytes: int = 64 * MIB
    bloom_bits: int = 12
    defaults: bool = False  # each system with its own defaults, whatever the three lines above say
    background: str = "process"  # where lsmproc flushes and merges
    config: list[str] | None = None  # files of settings: lsmproc with each of them is a system of its own
    seed: int = 301

    @property
    def raw_bytes(self) -> int:
        """Keys and values of a loaded store."""
        return self.num * (self.key_size + self.value_size)

    @property
    def read_num(self) -> int:
        """Operations of a workload that reads or mixes."""
        return self.num if self.reads is None else min(self.reads, self.num)

    @property
    def synced_num(self) -> int:
        """How many puts a workload makes that syncs each."""
        return max(1, min(self.num // SYNC_DIVISOR, MAX_SYNCED))

    def to_json_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json_dict(cls, tree: dict[str, Any]) -> Self:
        """The inverse of ``to_json_dict``."""
        return cls(**tree)
