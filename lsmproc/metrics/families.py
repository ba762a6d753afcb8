"""The metrics as a table: the name, what it tells, and how its samples follow from the plain tree of the stats.

Names are RocksDB's words (its tickers and properties) with the suffixes that Prometheus asks for: ``_total`` for what
only grows, ``_bytes`` and ``_seconds`` for units. Each sample has the label ``db``, the path of the store, and those
that stand here. Figures that were sampled say so in their name. Every figure begins at zero when a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lsmproc.metrics.store_metrics import StoreMetrics

Labels = dict[str, str]
Sample = tuple[Labels, float]
Tree = Mapping[str, Any]

PREFIX = "lsmproc_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str  # without the prefix, with all suffixes
    kind: Literal["counter", "gauge"]
    text: str
    samples: Callable[[Tree], Iterable[Sample]]

    def of(self, store: StoreMetrics) -> Iterator[Sample]:
        """The samples of one store, with its label."""
        for labels, value in self.samples(store.stats) if store.stats else ():
            yield {"db": store.db, **labels}, value


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one operation takes, for the one summary there is."""

    operation: str
    count: int
    total_seconds: float  # about: calls times the mean of the sampled ones
    quantiles: dict[str, float]  # seconds by quantile


LATENCY_NAME = "operation_seconds"
LATENCY_TEXT = "Duration of operations: put, get, flush, ... Of frequent ones a part is timed"
UP_NAME = "up"
UP_TEXT = "Whether the store is open and its owner lives"


def latencies(tree: Tree) -> Iterator[Latency]:
    """The durations of all operations that were called."""
    for name, figures in tree.get("operations", {}).items():
        if figures["count"]:
            quantiles = {
                "0.5": figures["p50_seconds"],
                "0.99": figures["p99_seconds"],
                "0.999": figures["p999_seconds"],
            }
            total = figures["count"] * figures["mean_seconds"]
            yield Latency(name, figures["count"], total, {**quantiles, "1": figures["max_seconds"]})


def _at(*path: str) -> Callable[[Tree], Iterable[Sample]]:
    """One sample: the figure at ``path``, if the tree has it and it is not None."""

    def samples(tree: Tree) -> Iterator[Sample]:
        value: Any = tree
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            yield {}, float(value)

    return samples


def _of_each(part: str, label: str, key: str, figure: str) -> Callable[[Tree], Iterable[Sample]]:
    """A sample for each item of a list: ``label`` is its ``key``."""

    def samples(tree: Tree) -> Iterator[Sample]:
        parts: Any = tree
        for name in part.split("."):
            parts = parts.get(name, {})
        for item in parts:
            yield {label: str(item[key])}, float(item[figure])

    return samples


def _by_key(*path: str, label: str, figure: str | None = None) -> Callable[[Tree], Iterable[Sample]]:
    """A sample for each item of a dict: ``label`` is its key; its value, or the ``figure`` in it."""

    def samples(tree: Tree) -> Iterator[Sample]:
        items: Any = tree
        for name in path:
            items = items.get(name, {})
        for key, item in items.items():
            yield {label: str(key)}, float(item if figure is None else item[figure])

    return samples


def _by_kind(figure: str) -> Callable[[Tree], Iterable[Sample]]:
    """A sample each for flushes and compactions."""

    def samples(tree: Tree) -> Iterator[Sample]:
        jobs = tree.get("jobs", {})
        for kind, sums in (("flush", "flushes"), ("compaction", "compactions")):
            if sums in jobs:
                yield {"kind": kind}, float(jobs[sums][figure])

    return samples


def _running(kind: str) -> Callable[[Tree], Iterable[Sample]]:
    return lambda tree: [({}, float(sum(job["kind"] == kind for job in tree.get("jobs", {}).get("running", ()))))]


def _worker(figure: Callable[[Mapping[str, Any]], float]) -> Callable[[Tree], Iterable[Sample]]:
    return lambda tree: [
        ({"worker": each["name"], "kind": each["kind"]}, float(figure(each))) for each in tree.get("workers", ())
    ]


def _sum_of(*paths: tuple[str, ...]) -> Callable[[Tree], Iterable[Sample]]:
    return lambda tree: [({}, sum(value for path in paths for _, value in _at(*path)(tree)))]


def _live_bytes(tree: Tree) -> list[Sample]:
    return [({}, float(sum(level["bytes"] for level in tree.get("levels", ()))))]


def _triggers(tree: Tree) -> Iterator[Sample]:
    for condition in tree.get("stall", {}).get("conditions", ()):
        for effect in ("slowdown", "stop"):
            yield {"reason": condition["reason"], "effect": effect}, float(condition[f"{effect}_at"])


FAMILIES: tuple[Family, ...] = (
    Family("uptime_seconds", "gauge", "Since the store was opened", _at("uptime_seconds")),
    Family("status_age_seconds", "gauge", "Of the page that was read, from outside", _at("status_age_seconds")),
    # Operations
    Family("put_total", "counter", "Calls of put", _at("writes", "puts")),
    Family("delete_total", "counter", "Calls of delete", _at("writes", "deletes")),
    Family("batch_total", "counter", "Batches written", _at("writes", "batches")),
    Family(
        "number_keys_written_total",
        "counter",
        "Records written by put, delete and batches",
        _sum_of(("writes", "puts"), ("writes", "deletes"), ("writes", "batch_records")),
    ),
    Family("number_keys_read_total", "counter", "Keys asked for by get and get_many", _at("reads", "gets")),
    Family("number_db_seek_total", "counter", "Ranges and iterators made", _at("reads", "scans")),
    Family("bytes_written_total", "counter", "Bytes written to the log", _at("wal", "written_bytes")),
    # Where sampled reads found their keys
    Family(
        "read_source_sampled_total",
        "counter",
        "Sampled gets by where they found their key: memtable, row cache, level 0 ..., none",
        _by_key("reads", "sources", label="source"),
    ),
    Family(
        "bloom_filter_checked_sampled_total",
        "counter",
        "Filters asked by sampled gets",
        _of_each("reads.filters", "level", "level", "probes"),
    ),
    Family(
        "bloom_filter_useful_sampled_total",
        "counter",
        "Filters that kept a sampled get from reading a table",
        _of_each("reads.filters", "level", "level", "negatives"),
    ),
    Family(
        "bloom_filter_false_positive_sampled_total",
        "counter",
        "Filters that let a sampled get read a table without its key",
        _of_each("reads.filters", "level", "level", "false_positives"),
    ),
    Family("memtable_hit_ratio", "gauge", "Of sampled gets", _at("reads", "memtable_hit_ratio")),
    # Memtables and log
    Family("cur_size_active_mem_table_bytes", "gauge", "Memtable, by its log", _at("memtable", "bytes")),
    Family(
        "cur_size_all_mem_tables_bytes",
        "gauge",
        "Memtable and immutable memtables, by their log",
        _sum_of(("memtable", "bytes"), ("immutable_memtables", "bytes")),
    ),
    Family("num_entries_active_mem_table", "gauge", "Records in the memtable", _at("memtable", "entries")),
    Family("num_entries_imm_mem_tables", "gauge", "Records in immutable ones", _at("immutable_memtables", "entries")),
    Family("num_immutable_mem_table", "gauge", "Memtables that wait for flush", _at("immutable_memtables", "count")),
    Family("wal_file_bytes", "gauge", "Bytes of the live log segments", _at("wal", "bytes")),
    Family("wal_file_synced_total", "counter", "Syncs of the log", _at("wal", "syncs")),
    # Levels
    Family("num_files_at_level", "gauge", "Tables", _of_each("levels", "level", "level", "files")),
    Family("size_at_level_bytes", "gauge", "Bytes of tables", _of_each("levels", "level", "level", "bytes")),
    Family("compaction_score", "gauge", "Work is wanted from 1", _of_each("levels", "level", "level", "score")),
    Family(
        "compact_read_bytes_total",
        "counter",
        "Read to fill the level: from above, and of the level itself; for level 0 what was flushed",
        lambda tree: [
            ({"level": str(level["level"])}, float(level["bytes_from_above"] + level["bytes_from_level"]))
            for level in tree.get("levels", ())
        ],
    ),
    Family(
        "compact_write_bytes_total",
        "counter",
        "Written to fill the level, by flushes for level 0",
        _of_each("levels", "level", "level", "bytes_written"),
    ),
    Family(
        "compact_seconds_total",
        "counter",
        "Time of workers to fill the level",
        _of_each("levels", "level", "level", "seconds"),
    ),
    Family(
        "write_amplification_at_level",
        "gauge",
        "Bytes written for each byte from above",
        _of_each("levels", "level", "level", "write_amplification"),
    ),
    Family("live_sst_files_size_bytes", "gauge", "Bytes of live tables", _live_bytes),
    Family("estimate_pending_compaction_bytes", "gauge", "Compaction debt", _at("compaction_debt_bytes")),
    Family("write_amplification", "gauge", "Bytes written to tables for each flushed", _at("write_amplification")),
    Family("read_amplification", "gauge", "Sorted runs that a read may ask", _at("read_amplification")),
    Family("space_amplification", "gauge", "Bytes for each of the deepest level", _at("space_amplification")),
    # Caches
    Family("block_cache_hit_total", "counter", "Blocks found", _at("block_cache", "hits")),
    Family("block_cache_miss_total", "counter", "Blocks read from files", _at("block_cache", "misses")),
    Family("block_cache_usage_bytes", "gauge", "In use", _at("block_cache", "bytes")),
    Family("block_cache_capacity_bytes", "gauge", "At most", _at("block_cache", "limit_bytes")),
    Family("row_cache_usage_bytes", "gauge", "In use", _at("row_cache", "bytes")),
    Family("row_cache_hit_ratio", "gauge", "Of sampled gets past the memtables", _at("row_cache", "hit_ratio")),
    # Stalls
    Family(
        "is_write_stopped",
        "gauge",
        "1 while writes are stopped",
        lambda tree: [({}, float(tree.get("stall", {}).get("state") == "stop"))],
    ),
    Family(
        "is_write_slowed",
        "gauge",
        "1 while writes are slowed down",
        lambda tree: [({}, float(tree.get("stall", {}).get("state") == "slowdown"))],
    ),
    Family(
        "actual_delayed_write_rate_bytes_per_second",
        "gauge",
        "Speed of writes while slowed down, else 0",
        _at("stall", "delayed_write_bytes_per_second"),
    ),
    Family("stall_total", "counter", "Stalls by reason", _by_key("stall", "stalls", label="reason")),
    Family("stall_seconds_total", "counter", "Time stalled by reason", _by_key("stall", "seconds", label="reason")),
    Family("stall_wait_total", "counter", "Writes that waited", _at("stall", "waits")),
    Family("stall_wait_seconds_total", "counter", "Their waits together", _at("stall", "waited_seconds")),
    Family("write_timedout_total", "counter", "Writes that gave up or refused to wait", _at("stall", "timeouts")),
    Family(
        "stall_backlog",
        "gauge",
        "What the reason counts: memtables, runs or bytes",
        _of_each("stall.conditions", "reason", "reason", "value"),
    ),
    Family("stall_trigger", "gauge", "The backlog at which writes are slowed down or stopped", _triggers),
    # Jobs and workers
    Family("num_running_flushes", "gauge", "Flushes under way", _running("flush")),
    Family("num_running_compactions", "gauge", "Compactions under way", _running("compaction")),
    Family("job_total", "counter", "Jobs done", _by_kind("jobs")),
    Family("job_failed_total", "counter", "Attempts at jobs that failed", _at("failed_jobs")),
    Family("job_read_bytes_total", "counter", "Read by jobs", _by_kind("bytes_read")),
    Family("job_write_bytes_total", "counter", "Written by jobs", _by_kind("bytes_written")),
    Family("job_records_written_total", "counter", "Records written by jobs", _by_kind("records_written")),
    Family("job_seconds_total", "counter", "Time of jobs", _by_kind("seconds")),
    Family("job_cpu_seconds_total", "counter", "CPU time of jobs", _by_kind("cpu_seconds")),
    Family("job_peak_memory_bytes", "gauge", "Highest memory of a worker", _by_kind("peak_memory_bytes")),
    Family(
        "background_error",
        "gauge",
        "1 once background work has ended for good",
        lambda tree: [({}, float(tree.get("background_error") is not None))],
    ),
    Family("worker_up", "gauge", "1 while the process lives", _worker(lambda worker: worker["state"] != "dead")),
    Family("worker_busy", "gauge", "1 while it has a job", _worker(lambda worker: worker["state"] == "busy")),
    Family("worker_restart_total", "counter", "Processes started anew", _worker(lambda worker: worker["restarts"])),
    Family("worker_job_total", "counter", "Jobs done by it", _worker(lambda worker: worker["jobs_done"])),
    # Rate limiter
    Family(
        "rate_limiter_rate_bytes_per_second", "gauge", "The limit, if there is one", _at("limiter", "bytes_per_second")
    ),
    Family(
        "rate_limiter_granted_bytes_total",
        "counter",
        "Granted by priority",
        _by_key("limiter", "priorities", label="priority", figure="granted_bytes"),
    ),
    Family(
        "rate_limiter_wait_seconds_total",
        "counter",
        "Waits by priority",
        _by_key("limiter", "priorities", label="priority", figure="waited_seconds"),
    ),
    Family(
        "rate_limiter_waiting_requests",
        "gauge",
        "Requests that wait now",
        _by_key("limiter", "priorities", label="priority", figure="waiting_requests"),
    ),
    # Snapshots
    Family("num_snapshots", "gauge", "Open snapshots and iterators", _at("snapshots", "count")),
    Family("oldest_snapshot_age_seconds", "gauge", "Of the oldest", _at("snapshots", "oldest_age_seconds")),
    Family("snapshot_pinned_bytes", "gauge", "Tables kept only for readers", _at("snapshots", "pinned_bytes")),
)
