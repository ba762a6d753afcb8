"""What works and is still likely to disappoint: rules across settings, measured against the machine and the past.

A problem (see ``checks``) is refused; advice is only told, because somebody may have good reasons. Each sentence says
what will happen, not only what is unusual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lsmproc.config.lsm_config import LSMConfig
from lsmproc.config.units import format_bytes

_COMFORT = 2.0  # a limit of at least so many times the flush rate leaves compactions enough to keep up
_LEVEL_RATIO = 4  # how far level 1 may be from what level 0 brings at once before it is worth a word
_MEMORY_SHARE = 0.5  # of the machine's memory that one store may take before it is worth a word
_MEMTABLE_COST = 3  # bytes of memory for each byte of small values, see memtable_max_bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the settings; None for what is not."""

    cpus: int | None = None
    memory_bytes: int | None = None
    flush_bytes_per_sec: int | None = None  # the fastest that this store was seen to flush


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing worth knowing: the settings concerned, and a sentence."""

    names: tuple[str, ...]
    sentence: str


def advise(config: LSMConfig, surroundings: Surroundings) -> tuple[Advice, ...]:
    """All that is worth a word about these settings there."""
    found = []
    for names, look in _RULES:
        sentence = look(config, surroundings)
        if sentence is not None:
            found.append(Advice(names, sentence))
    return tuple(found)


def _limit_below_flushes(config: LSMConfig, surroundings: Surroundings) -> str | None:
    limit, seen = config.rate_limit_bytes_per_sec, surroundings.flush_bytes_per_sec
    if limit is None or seen is None or limit >= _COMFORT * seen:
        return None
    rates = f"rate_limit_bytes_per_sec {_rate(limit)} is below"
    if limit >= seen:
        return (
            f"{rates} {_COMFORT:g} times the flush rate seen ({_rate(seen)}): compactions fall behind, and writes are "
            f"slowed down from {config.level0_slowdown_writes_trigger} level-0 tables on"
        )
    room = (config.max_immutable_memtables + 1) * config.memtable_max_bytes
    seconds = room / (seen - limit)
    return f"{rates} the flush rate seen ({_rate(seen)}): writes will stop after about {seconds:.0f} s at that rate"


def _more_workers_than_cores(config: LSMConfig, surroundings: Surroundings) -> str | None:
    cpus = surroundings.cpus
    if cpus is None or config.background != "process" or config.compaction_workers <= cpus:
        return None
    return f"compaction_workers {config.compaction_workers} is above the number of CPUs ({cpus}): they wait in turn"


def _absent_cpus(config: LSMConfig, surroundings: Surroundings) -> str | None:
    cpus, wanted = surroundings.cpus, config.worker_cpus
    if cpus is None or wanted is None or max(wanted) < cpus:
        return None
    return f"worker_cpus names CPU {max(wanted)}, and there are {cpus}: workers keep to those that there are, if any"


def _too_much_memory(config: LSMConfig, surroundings: Surroundings) -> str | None:
    memory = surroundings.memory_bytes
    if memory is None:
        return None
    memtables = (config.max_immutable_memtables + 1) * config.memtable_max_bytes * _MEMTABLE_COST
    needed = memtables + config.block_cache_bytes + config.row_cache_bytes
    if needed <= _MEMORY_SHARE * memory:
        return None
    return (
        f"memtables and caches may take {needed / 2**30:.1f} GiB with small values, and the machine has "
        f"{memory / 2**30:.1f} GiB: a burst of writes may end the process"
    )


def _levels_of_different_size(config: LSMConfig, _: Surroundings) -> str | None:
    brought = config.level0_compaction_trigger * config.memtable_max_bytes
    if (
        brought / _LEVEL_RATIO <= config.level_base_bytes <= brought * _LEVEL_RATIO
        or config.compaction_style != "leveled"
    ):
        return None
    return (
        f"level_base_bytes {format_bytes(config.level_base_bytes)} is far from what level 0 brings at once "
        f"({config.level0_compaction_trigger} x {format_bytes(config.memtable_max_bytes)}): "
        "one of the two merges rewrites much more than it has to"
    )


def _automatic_without_ceiling(config: LSMConfig, _: Surroundings) -> str | None:
    if not config.rate_limit_auto or config.rate_limit_bytes_per_sec is not None:
        return None
    return "rate_limit_auto without rate_limit_bytes_per_sec has no ceiling: a burst may take the whole disk"


def _rate(bytes_per_second: int) -> str:
    return f"{bytes_per_second / 2**20:.1f} MiB/s"


Look = Callable[[LSMConfig, Surroundings], str | None]

_RULES: tuple[tuple[tuple[str, ...], Look], ...] = (
    (("rate_limit_bytes_per_sec", "memtable_max_bytes", "max_immutable_memtables"), _limit_below_flushes),
    (("rate_limit_auto", "rate_limit_bytes_per_sec"), _automatic_without_ceiling),
    (("compaction_workers",), _more_workers_than_cores),
    (("worker_cpus",), _absent_cpus),
    (("memtable_max_bytes", "max_immutable_memtables", "block_cache_bytes", "row_cache_bytes"), _too_much_memory),
    (("level_base_bytes", "level0_compaction_trigger", "memtable_max_bytes"), _levels_of_different_size),
)
