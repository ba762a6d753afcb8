"""What stores of one process share: worker pool, rate limiter, caches, open files and one thread for chores.

A service with fifty partitions opens fifty stores and still has one pool::

    env = Env(compaction_workers=2, rate_limit_bytes_per_sec=32 << 20)
    stores = [lsmproc.open(f"/data/{n}", env=env) for n in range(50)]

A store opened without an ``env`` makes a private one from its own options and closes it with itself.
"""

from __future__ import annotations

import logging
import os
import resource
import threading
from collections.abc import Callable
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from lsmproc.config import LSMConfig
from lsmproc.config.option_changes import wrong_values
from lsmproc.config.units import parse_bytes
from lsmproc.errors import ClosedError, ConfigError
from lsmproc.memtable.memtable_budget import MemtableBudget
from lsmproc.pacing.auto_rate import RatePacer
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.pacing.ticker import Ticker
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import FileSystem, PosixFileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.row_cache import RowBudget
from lsmproc.timeouts import checked_timeout
from lsmproc.workers.inline_background import InlineBackground
from lsmproc.workers.placement import Placement
from lsmproc.workers.process_background import ProcessBackground
from lsmproc.workers.thread_background import ThreadBackground

if TYPE_CHECKING:
    from lsmproc.protocols import Background

# Without it, Python would print warnings of a library whose host has not configured logging.
logging.getLogger("lsmproc").addHandler(logging.NullHandler())

_CLOSE_SECONDS = 5.0
_FEWEST_OPEN_FILES = 4
_MOST_OPEN_FILES = 100_000
_LEAST_MEMTABLE_BUDGET = 1 << 20
_OTHER_FILES = 40  # four for each worker, the log, the manifest, the directory, standard streams

DECIDED_HERE = (
    "background",
    "flush_workers",
    "compaction_workers",
    "worker_niceness",
    "worker_io_priority",
    "worker_cpus",
    "worker_hang_seconds",
    "worker_idle_seconds",
    "rate_limit_bytes_per_sec",
    "rate_limit_auto",
    "block_cache_bytes",
    "row_cache_bytes",
    "max_open_files",
)
_FIELDS = {field.name: field for field in fields(LSMConfig)}
_DEFAULTS = {name: field.default for name, field in _FIELDS.items()}


class Env:
    """Shared by any number of stores. Thread-safe; starts no process and no thread before a store needs one.

    Attributes:
        background: runs the jobs.
        closed: whether the Env was closed.
        rate_limiter: paces what all workers write; ``rate_limiter.set_rate(bytes_per_second)`` works at any time.
        block_cache: blocks of the tables of all stores, under one byte budget.
        row_budget: the byte budget of the row caches of all stores.
        memtable_budget: the byte budget of the memtables of all stores.
    """

    def __init__(
        self,
        *,
        background: Literal["process", "thread", "inline"] = "process",
        flush_workers: int = 1,
        compaction_workers: int = 2,
        worker_niceness: int = 10,
        worker_io_priority: Literal["normal", "low", "idle"] = "normal",
        worker_cpus: tuple[int, ...] | None = None,
        worker_hang_seconds: int = 300,
        worker_idle_seconds: int = 60,
        rate_limit_bytes_per_sec: int | None = None,
        rate_limit_auto: bool = False,
        block_cache_bytes: int = 64 << 20,
        row_cache_bytes: int = 8 << 20,
        memtable_budget_bytes: int | str | None = None,
        max_open_files: int | None = None,
        open_file_system: Callable[[str], FileSystem] = PosixFileSystem,
    ) -> None:
        """The meaning of each argument is that of the LSMConfig field of the same name. Raises ConfigError.

        ``memtable_budget_bytes``: what the memtables of all stores together may hold before the largest is flushed,
        in bytes of their logs; None for no limit but each store's ``memtable_max_bytes``. It is looked at four times a
        second, and not at all with background="inline". A size may be text, as in "256 MiB".

        ``open_file_system`` makes the file system of a store's directory, for tests; worker processes always use
        the real one.
        """
        # The same checks, and the same spellings of sizes, as for a store of its own.
        self._settings = settings = LSMConfig.from_options(
            os.curdir,
            background=background,
            flush_workers=flush_workers,
            compaction_workers=compaction_workers,
            worker_niceness=worker_niceness,
            worker_io_priority=worker_io_priority,
            worker_cpus=worker_cpus,
            worker_hang_seconds=worker_hang_seconds,
            worker_idle_seconds=worker_idle_seconds,
            rate_limit_bytes_per_sec=rate_limit_bytes_per_sec,
            rate_limit_auto=rate_limit_auto,
            block_cache_bytes=block_cache_bytes,
            row_cache_bytes=row_cache_bytes,
            max_open_files=max_open_files,
        )
        self._settings_lock = threading.RLock()  # reentrant for signal handlers
        self.closed: bool = False
        self.kind: str = settings.background
        self.rate_limiter: RateLimiter = RateLimiter(settings.rate_limit_bytes_per_sec)
        self.pacer: RatePacer = RatePacer(self.rate_limiter, enabled=settings.rate_limit_auto)
        self.block_cache: BlockCache = BlockCache(settings.block_cache_bytes)
        self.row_budget: RowBudget = RowBudget(settings.row_cache_bytes)
        self.open_files: OpenFiles = OpenFiles(settings.max_open_files or _half_of_descriptor_limit())
        self.ticker: Ticker = Ticker()
        self.memtable_budget: MemtableBudget = MemtableBudget(_checked_budget(memtable_budget_bytes), self.ticker)
        self.flush_workers: int = settings.flush_workers
        self.compaction_workers: int = settings.compaction_workers
        self.open_file_system = open_file_system
        arguments = (self.flush_workers, self.compaction_workers, self.rate_limiter, settings.worker_niceness)
        self.background: Background
        if self.kind == "process":
            self.background = ProcessBackground(
                *arguments,
                io_priority=settings.worker_io_priority,
                cpus=settings.worker_cpus,
                hang_seconds=settings.worker_hang_seconds,
                idle_seconds=settings.worker_idle_seconds,
            )
        elif self.kind == "thread":
            self.background = ThreadBackground(*arguments, open_file_system=open_file_system)
        else:
            self.background = InlineBackground(*arguments, open_file_system=open_file_system)

    @classmethod
    def of(cls, config: LSMConfig) -> Self:
        """The private Env of one store."""
        return cls(
            background=config.background,
            flush_workers=config.flush_workers,
            compaction_workers=config.compaction_workers,
            worker_niceness=config.worker_niceness,
            worker_io_priority=config.worker_io_priority,
            worker_cpus=config.worker_cpus,
            worker_hang_seconds=config.worker_hang_seconds,
            worker_idle_seconds=config.worker_idle_seconds,
            rate_limit_bytes_per_sec=config.rate_limit_bytes_per_sec,
            rate_limit_auto=config.rate_limit_auto,
            block_cache_bytes=config.block_cache_bytes,
            row_cache_bytes=config.row_cache_bytes,
            max_open_files=config.max_open_files,
        )

    def check(self, config: LSMConfig) -> None:
        """Raise ConfigError if a store asks for something that its Env decides otherwise, ClosedError after close."""
        self._check_open()
        settings = self.settings
        asked = {name: getattr(config, name) for name in DECIDED_HERE}
        problems = [
            f"{name} = {value!r}: the Env that is given has {getattr(settings, name)!r}; set it there"
            for name, value in asked.items()
            if value not in (getattr(settings, name), _DEFAULTS[name])
        ]
        if problems:
            raise ConfigError(problems)

    def set_workers(self, *, flush: int | None = None, compaction: int | None = None) -> None:
        """Change how many workers there are, now.

        More start when there is work for them, surplus ones leave after their job. Raises ConfigError, ClosedError.
        """
        given = {"flush_workers": flush, "compaction_workers": compaction}
        self.set_options(**{name: count for name, count in given.items() if count is not None})

    def set_options(self, **changes: Any) -> None:
        """Change settings that this Env decides for its stores, now: all of them, or none.

        Raises ConfigError with every problem, also for a setting that only a new Env can have; ClosedError.
        """
        with self._settings_lock:
            self._change(changes)

    def _change(self, changes: dict[str, Any]) -> None:
        """One call after the other: each goes on from what the one before has made. REQUIRES: the settings' lock."""
        self._check_open()
        refused = {name: problem for name in changes if (problem := self._refusal(name)) is not None}
        if refused:
            others = {name: value for name, value in changes.items() if name not in refused}
            raise ConfigError([*refused.values(), *wrong_values(self.settings, others)])
        settings = self.settings.replace(**changes)
        before, self._settings = self.settings, settings
        self.flush_workers, self.compaction_workers = settings.flush_workers, settings.compaction_workers
        counts = (settings.flush_workers, settings.compaction_workers)
        if counts != (before.flush_workers, before.compaction_workers):
            self.background.set_workers(*counts)
        if _placements(settings) != _placements(before):
            self.background.place_workers(*_placements(settings))
        if settings.rate_limit_bytes_per_sec != before.rate_limit_bytes_per_sec:
            self.rate_limiter.set_rate(settings.rate_limit_bytes_per_sec)
        self.pacer.enable(enabled=settings.rate_limit_auto)
        self.block_cache.resize(settings.block_cache_bytes)
        self.row_budget.resize(settings.row_cache_bytes)
        self.open_files.capacity = settings.max_open_files or _half_of_descriptor_limit()

    @property
    def settings(self) -> LSMConfig:
        """What this Env decides, as a config whose other fields mean nothing; the rate is that of the limiter."""
        limit = self.rate_limiter.limit
        if limit == self._settings.rate_limit_bytes_per_sec:
            return self._settings
        return self._settings.replace(rate_limit_bytes_per_sec=limit)

    def settings_of(self, config: LSMConfig) -> LSMConfig:
        """The settings that are in force for a store of this Env with ``config``."""
        settings = self.settings
        decided = {name: getattr(settings, name) for name in DECIDED_HERE}
        same = all(getattr(config, name) == value for name, value in decided.items())
        return config if same else config.replace(**decided)

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Stop the workers within ``timeout`` seconds. REQUIRES: the stores of this Env are closed. Idempotent.

        Raises TypeError, ValueError for a bad timeout.
        """
        timeout = checked_timeout(timeout)
        self.closed = True
        self.background.close(timeout)

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedError("the Env is closed; make another one")

    @staticmethod
    def _refusal(name: str) -> str | None:
        """Why the setting ``name`` cannot be changed here, if it cannot; an unknown one is for the config to refuse."""
        setting = _FIELDS.get(name)
        if setting is None:
            return None
        if name not in DECIDED_HERE:
            return f"{name} belongs to a store and not to its Env: change it with db.set_options({name}=...)"
        if not setting.metadata["option"].live:
            return f"{name} is fixed while the Env is open: close its stores and it, and make another Env with it"
        return None

    def __enter__(self) -> Self:
        """The Env itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _checked_budget(value: int | str | None) -> int | None:
    """As a number of bytes. Raises ConfigError."""
    try:
        size = parse_bytes(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigError([f"memtable_budget_bytes = {value!r}: {error}"]) from error
    if size is not None and (type(size) is not int or size < _LEAST_MEMTABLE_BUDGET):
        raise ConfigError([f"memtable_budget_bytes = {value!r}: must be a size of at least 1 MiB, or None"])
    return size


def _placements(settings: LSMConfig) -> tuple[Placement, Placement]:
    """Of flush and compaction workers: flushes never step back, since writes stop when they fall behind."""
    return (
        Placement(0, "normal", settings.worker_cpus),
        Placement(settings.worker_niceness, settings.worker_io_priority, settings.worker_cpus),
    )


def _half_of_descriptor_limit() -> int:
    """Half of what the process may open: the other half is the host program's, and our own for logs and workers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_OPEN_FILES
    return max(_FEWEST_OPEN_FILES, min(soft // 2, soft - _OTHER_FILES, _MOST_OPEN_FILES))
