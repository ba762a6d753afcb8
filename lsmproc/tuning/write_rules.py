"""Rules about the price of writes: flushes that are too small, syncs that are slow, levels that do not fit, space."""

from __future__ import annotations

from lsmproc.statistics.size_text import size_text
from lsmproc.tuning.history import History, number
from lsmproc.tuning.rule import Evidence, Rule, Suggestion

_MEBIBYTE = 1 << 20
_MANY_FLUSHES_PER_MINUTE = 30
_FEW_FLUSHES_PER_MINUTE = 6
_LEAST_FLUSHES = 20  # one burst is no rate
_LARGEST_MEMTABLE = 256 * _MEBIBYTE
_SLOW_SYNC_SECONDS = 0.020
_LEAST_SYNCS = 50
_LEVEL_RATIO = 4  # how far level 1 may be from what level 0 brings at once
_SPACE_AMPLIFICATION = 2.0  # leveled trees stay below 1.2 when they are not behind, tiered ones below 2


def _flush_counts(history: History) -> tuple[int, float, float]:
    """How many flushes, of how many bytes, in which time."""
    if history.events:
        flushes = [event for event in history.of_kind("flush_finished") if number(event, "raw_bytes")]
        return len(flushes), sum(number(event, "raw_bytes") for event in flushes), history.span_seconds
    sums = history.table("jobs", "flushes")
    return int(number(sums, "jobs")), history.figure("levels", 0, "bytes_from_above"), history.uptime_seconds


def _small_memtable(history: History) -> Evidence | None:
    flushes, size, span = _flush_counts(history)
    per_minute = 60 * flushes / span if span > 0 else 0.0
    full = size / flushes >= history.config.memtable_max_bytes / 2 if flushes else False
    if flushes < _LEAST_FLUSHES or per_minute <= _MANY_FLUSHES_PER_MINUTE or not full:
        return None
    if history.config.memtable_max_bytes >= _LARGEST_MEMTABLE:
        return None
    text = f"{flushes} flushes of {size_text(size / flushes)} each: {per_minute:.0f} in a minute"
    return Evidence(text, {"flushes": flushes, "bytes": size, "per_minute": per_minute}, span)


def _larger_memtable(history: History) -> Suggestion:
    config = history.config
    flushes, _, span = _flush_counts(history)
    wanted = config.memtable_max_bytes * flushes * 60 / max(span, 1e-3) / _FEW_FLUSHES_PER_MINUTE
    memory = (history.memory_bytes or 8 << 30) // 64  # there may be five, of three times the bytes each
    largest = max(2 * config.memtable_max_bytes, min(_LARGEST_MEMTABLE, memory))
    size = min(_LARGEST_MEMTABLE, largest, max(2 * config.memtable_max_bytes, _next_power_of_two(int(wanted))))
    values: dict[str, object] = {"memtable_max_bytes": size}
    brought = size * config.level0_compaction_trigger
    if config.compaction_style == "leveled" and config.level_base_bytes < brought:
        values["level_base_bytes"] = brought
    return Suggestion(
        action="flush larger memtables less often",
        values=values,
        effect="fewer tables in level 0, fewer and larger compactions, fewer bytes written for each byte",
        risk=f"up to {size_text(3 * size)} for each memtable with small values; a longer recovery",
    )


def _slow_syncs(history: History) -> Evidence | None:
    syncs = history.table("operations", "log_sync")
    count, p99 = number(syncs, "count"), number(syncs, "p99_seconds")
    if history.config.wal_sync != "every_write" or count < _LEAST_SYNCS or p99 <= _SLOW_SYNC_SECONDS:
        return None
    text = f"1 % of {count:.0f} log syncs took longer than {1000 * p99:.0f} ms, and every write waits for one"
    return Evidence(text, {"count": count, "p99_seconds": p99}, history.uptime_seconds)


def _fewer_syncs(history: History) -> Suggestion:
    del history
    return Suggestion(
        # No setting: it would take back a promise that somebody relies on.
        action="write in batches or from several threads, which share a sync, or put the store on a faster disk; "
        "wal_sync = 'interval' only if the last second may be lost in a power cut",
        effect="many writes wait for one sync together",
        risk="none for batches; with 'interval', acknowledged writes may be lost in a power cut",
    )


def _level_mismatch(history: History) -> Evidence | None:
    config = history.config
    brought = config.level0_compaction_trigger * config.memtable_max_bytes
    used = history.figure("levels", 1, "bytes_written")
    fits = brought / _LEVEL_RATIO <= config.level_base_bytes <= brought * _LEVEL_RATIO
    # Below, one merge out of level 0 tells nothing: level 1 has not been full yet.
    if config.compaction_style != "leveled" or fits or used < 2 * max(brought, config.level_base_bytes):
        return None
    amplification = history.figure("levels", 1, "write_amplification")
    text = (
        f"level 0 brings {size_text(brought)} at once, the target of level 1 is "
        f"{size_text(config.level_base_bytes)}; {size_text(used)} were written to level 1, "
        f"{amplification:.1f} for each byte that came"
    )
    figures = {"level0_bytes": brought, "level1_bytes": config.level_base_bytes, "amplification": amplification}
    return Evidence(text, figures, history.uptime_seconds)


def _levels_of_one_size(history: History) -> Suggestion:
    config = history.config
    return Suggestion(
        action="make level 1 as large as what level 0 brings at once",
        values={"level_base_bytes": config.level0_compaction_trigger * config.memtable_max_bytes},
        effect="merges into level 1 and out of it rewrite no more than they have to",
        risk="the levels are rebuilt once to their new sizes",
    )


def _much_space(history: History) -> Evidence | None:
    config = history.config
    amplification, size = history.figure("space_amplification"), history.table_bytes
    pinned = history.figure("snapshots", "pinned_bytes")
    small = size < 2 * max(config.level0_compaction_trigger * config.memtable_max_bytes, config.sstable_max_bytes)
    if amplification <= _SPACE_AMPLIFICATION or small or pinned > size / 4:
        return None
    text = f"tables take {size_text(size)}, {amplification:.1f} times the deepest level"
    return Evidence(text, {"space_amplification": amplification, "bytes": size}, history.uptime_seconds)


def _less_space(history: History) -> Suggestion:
    if history.config.compaction_style == "tiered":
        return Suggestion(
            action="merge into levels instead of sorted runs",
            values={"compaction_style": "leveled"},
            effect="about a tenth of the bytes is stored twice, and reads ask fewer runs",
            risk="each record is rewritten more often; the tree is rebuilt once",
        )
    return Suggestion(
        action="lsmproc compact PATH, or db.compact_range(), at a quiet time; it is 1.1 to 1.2 in a tree at rest",
        effect="old versions and tombstones are merged away",
        risk="everything is rewritten once, with space for it meanwhile",
    )


def _next_power_of_two(size: int) -> int:
    return 1 << max(0, size - 1).bit_length()


FLUSH_RULES = (Rule("memtable-small", _small_memtable, _larger_memtable),)
WRITE_RULES = (
    Rule("log-sync-slow", _slow_syncs, _fewer_syncs, sums=True),
    Rule("level-ratio", _level_mismatch, _levels_of_one_size, sums=True),
    Rule("space-amplification", _much_space, _less_space),
)
