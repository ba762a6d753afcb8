"""How fast a store works: what its counters gained between two looks at its statistics, for each second."""

from __future__ import annotations

from typing import Any

# Name of the rate, and where the counter stands in the tree of the statistics.
_COUNTERS = {
    "puts_per_second": ("writes", "puts"),
    "deletes_per_second": ("writes", "deletes"),
    "batch_records_per_second": ("writes", "batch_records"),
    "gets_per_second": ("reads", "gets"),
    "scans_per_second": ("reads", "scans"),
    "cache_hits_per_second": ("block_cache", "hits"),
    "cache_misses_per_second": ("block_cache", "misses"),
    "log_syncs_per_second": ("wal", "syncs"),
    "granted_bytes_per_second": ("limiter", "granted_bytes"),
    "limiter_waited_seconds_per_second": ("limiter", "waited_seconds"),
    "stalled_writes_per_second": ("stall", "waits"),
}


def rates(before: dict[str, Any], after: dict[str, Any], seconds: float) -> dict[str, float]:
    """The rates between two trees of ``Stats.to_json_dict``; what either does not hold is left out."""
    if seconds <= 0:
        return {}
    found = {}
    for name, path in _COUNTERS.items():
        old, new = _number(before, path), _number(after, path)
        if old is not None and new is not None:
            found[name] = round(max(0.0, new - old) / seconds, 3)
    gained = {
        "ingested_bytes_per_second": _ingested(after) - _ingested(before),
        "flushed_bytes_per_second": _written(after, 0, 1) - _written(before, 0, 1),
        "compacted_bytes_per_second": _written(after, 1, None) - _written(before, 1, None),
    }
    return found | {name: round(max(0.0, gain) / seconds, 3) for name, gain in gained.items()}


def _ingested(tree: dict[str, Any]) -> float:
    """Bytes that writers have brought: written to the log, or else flushed, waiting for that, or in the memtable."""
    if (written := _number(tree, ("wal", "written_bytes"))) is not None:
        return written
    levels = tree.get("levels") or [{}]
    flushed = _number(levels[0], ("bytes_from_above",)) or 0
    return (
        flushed + (_number(tree, ("memtable", "bytes")) or 0) + (_number(tree, ("immutable_memtables", "bytes")) or 0)
    )


def _written(tree: dict[str, Any], first: int, stop: int | None) -> float:
    levels = (tree.get("levels") or [])[first:stop]
    return sum(_number(level, ("bytes_written",)) or 0 for level in levels)


def _number(tree: Any, path: tuple[str, ...]) -> float | None:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, (int, float)) and not isinstance(tree, bool) else None
