"""Rules about reads: the two caches and the filters."""

from __future__ import annotations

from lsmproc.statistics.size_text import size_text
from lsmproc.tuning.history import History, number
from lsmproc.tuning.rule import Evidence, Rule, Suggestion

_MEBIBYTE = 1 << 20
_LEAST_LOOKUPS = 5_000
_GOOD_HIT_RATIO = 0.8
_FULL = 0.85  # of its limit: a cache that still fills has not shown what it can do
_USUAL_MEMORY = 8 << 30  # where the machine does not tell
_UNCOMPRESSED = 3  # times the bytes of tables: compressed records and what a block costs in memory
_LITTLE = 32  # one part in so many of the memory may hold all there is
_MEMORY_SHARE = 4  # one part in so many of the memory, at most, is suggested for a cache
_LEAST_SAMPLES = 100  # reads whose way was followed; one in about a thousand is
_ROW_HITS = (0.2, 0.8)  # below, the keys are too many to be kept; above, they are kept
_FALSE_POSITIVES = 0.02
_MISSING_KEYS = 0.2  # of the reads
_MOST_BITS = 24


def _mostly_read(history: History) -> bool:
    reads = history.figure("reads", "gets") + history.figure("reads", "scans")
    writes = history.table("writes")
    written = sum(number(writes, name) for name in ("puts", "deletes", "batch_records"))
    return reads >= _LEAST_LOOKUPS and reads >= written


def _cache_misses(history: History) -> Evidence | None:
    cache = history.table("block_cache")
    hits, lookups = number(cache, "hits"), number(cache, "hits") + number(cache, "misses")
    limit, used = number(cache, "limit_bytes"), number(cache, "bytes")
    if not _mostly_read(history) or lookups < _LEAST_LOOKUPS or hits >= _GOOD_HIT_RATIO * lookups:
        return None
    if used < _FULL * limit or _larger_cache_bytes(history) <= limit:
        return None
    ratio = hits / lookups
    text = (
        f"{ratio:.0%} of {lookups:,.0f} lookups of blocks hit the cache of {size_text(limit)}, which is full; "
        f"tables have {size_text(history.table_bytes)}"
    )
    figures = {"hit_ratio": ratio, "lookups": lookups, "limit_bytes": limit, "table_bytes": history.table_bytes}
    return Evidence(text, figures, history.uptime_seconds)


def _larger_cache_bytes(history: History) -> int:
    """For all blocks, uncompressed, where that is little; or four times of what it is. Never a large part of memory."""
    limit, memory = history.figure("block_cache", "limit_bytes"), history.memory_bytes or _USUAL_MEMORY
    everything = _UNCOMPRESSED * history.table_bytes
    wanted = everything if everything <= memory // _LITTLE else min(4 * limit, everything)
    return -(-int(min(wanted, memory // _MEMORY_SHARE)) // _MEBIBYTE) * _MEBIBYTE


def _larger_cache(history: History) -> Suggestion:
    size = _larger_cache_bytes(history)
    more = size_text(size - history.figure("block_cache", "limit_bytes"))
    return Suggestion(
        action="keep more blocks in memory",
        values={"block_cache_bytes": size},
        effect="reads of warm keys decode no block; keys that are asked for once gain nothing",
        risk=f"up to {more} more memory in the owner",
    )


def _rows_missing(history: History) -> Evidence | None:
    """Point reads of a set that the row cache could hold: there is none, or it is full and hit now and then."""
    rows, samples = history.table("row_cache"), history.figure("reads", "samples")
    limit, used, ratio = number(rows, "limit_bytes"), number(rows, "bytes"), number(rows, "hit_ratio")
    gets = history.figure("reads", "gets")
    if not _mostly_read(history) or gets < _LEAST_LOOKUPS:
        return None
    if limit == 0:
        blocks = history.table("block_cache")
        hits, lookups = number(blocks, "hits"), number(blocks, "hits") + number(blocks, "misses")
        if lookups < _LEAST_LOOKUPS or hits < _GOOD_HIT_RATIO * lookups:
            return None
        text = f"{hits / lookups:.0%} of {lookups:,.0f} lookups of blocks hit, and there is no row cache"
        return Evidence(text, {"hit_ratio": hits / lookups, "lookups": lookups}, history.uptime_seconds)
    low, high = _ROW_HITS
    if samples < _LEAST_SAMPLES or used < _FULL * limit or not low <= ratio < high:
        return None
    text = f"{ratio:.0%} of {samples:.0f} sampled reads hit the row cache of {size_text(limit)}, which is full"
    return Evidence(text, {"hit_ratio": ratio, "samples": samples, "limit_bytes": limit}, history.uptime_seconds)


def _more_rows(history: History) -> Suggestion:
    limit = int(history.figure("row_cache", "limit_bytes"))
    size = max(8 * _MEBIBYTE, 2 * limit)
    return Suggestion(
        action="keep more single records in memory",
        values={"row_cache_bytes": size},
        effect="a hit takes a fifth of the time that a cached block takes",
        risk=f"{size_text(size - limit)} more memory in the owner; each flush empties it",
    )


def _false_positives(history: History) -> Evidence | None:
    filters = history.rows("reads", "filters")
    wrong = sum(number(row, "false_positives") for row in filters)
    absent = wrong + sum(number(row, "negatives") for row in filters)
    if history.config.filter != "bloom" or absent < _LEAST_SAMPLES or wrong <= _FALSE_POSITIVES * absent:
        return None
    if min(history.config.bloom_bits_per_key) >= _MOST_BITS:
        return None
    text = f"filters let {wrong / absent:.1%} of {absent:.0f} sampled keys pass that were not there"
    return Evidence(text, {"ratio": wrong / absent, "samples": absent}, history.uptime_seconds)


def _more_bits(history: History) -> Suggestion:
    bits = tuple(min(_MOST_BITS, max(12, each + 4)) for each in history.config.bloom_bits_per_key)
    return Suggestion(
        action="give filters more bits; tables get them as they are rewritten (lsmproc compact PATH does it at once)",
        values={"bloom_bits_per_key": bits},
        effect="a lookup of a missing key reads a table a third as often, or less",
        risk="about half a byte of memory more for each key",
    )


def _no_filters(history: History) -> Evidence | None:
    samples, missing = history.figure("reads", "samples"), history.figure("reads", "sources", "none")
    if history.config.filter != "none" or samples < _LEAST_SAMPLES or missing < _MISSING_KEYS * samples:
        return None
    text = f"{missing / samples:.0%} of {samples:.0f} sampled reads asked for keys that are not there, without filters"
    return Evidence(text, {"missing": missing / samples, "samples": samples}, history.uptime_seconds)


def _filters(history: History) -> Suggestion:
    del history
    return Suggestion(
        action="let tables have filters; they get them as they are rewritten (lsmproc compact PATH does it at once)",
        values={"filter": "bloom"},
        effect="a lookup of a missing key reads no table, but for one in a hundred",
        risk="1.5 to 2 bytes of memory for each key",
    )


READ_RULES = (
    Rule("cache-misses", _cache_misses, _larger_cache, sums=True),
    Rule("row-cache", _rows_missing, _more_rows, sums=True),
    Rule("filter-false-positives", _false_positives, _more_bits, sums=True),
    Rule("filter-missing", _no_filters, _filters, sums=True),
)
