"""What stores of one process share: worker pool, rate limiter, block cache, open files and one thread for chores.

A service with fifty partitions opens fifty stores and still has one pool::

    env = Env(compaction_workers=2, rate_limit_bytes_per_sec=32 << 20)
    stores = [lsmproc.open(f"/data/{n}", env=env) for n in range(50)]

A store opened without an ``env`` makes a private one from its own options and closes it with itself.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from lsmproc.errors import ConfigError
from lsmproc.rate_limiter import RateLimiter
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.file_system import FileSystem, PosixFileSystem
from lsmproc.storage.open_file import OpenFiles
from lsmproc.ticker import Ticker
from lsmproc.workers.inline_background import InlineBackground
from lsmproc.workers.process_background import ProcessBackground
from lsmproc.workers.thread_background import ThreadBackground

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.protocols import Background

_CLOSE_SECONDS = 5.0


class Env:
    """Shared by any number of stores. Thread-safe; starts no process and no thread before a store needs one.

    Attributes:
        background: runs the jobs.
        rate_limiter: paces what all workers write; ``rate_limiter.set_rate(bytes_per_second)`` works at any time.
        block_cache: decoded blocks of all stores, under one byte budget.
    """

    def __init__(
        self,
        *,
        background: Literal["process", "thread", "inline"] = "process",
        flush_workers: int = 1,
        compaction_workers: int = 2,
        worker_niceness: int = 10,
        rate_limit_bytes_per_sec: int | None = None,
        block_cache_bytes: int = 64 << 20,
        max_open_files: int | None = None,
        open_file_system: Callable[[str], FileSystem] = PosixFileSystem,
    ) -> None:
        """The meaning of each argument is that of the LSMConfig field of the same name.

        ``open_file_system`` makes the file system of a store's directory, for tests; worker processes always use
        the real one.
        """
        self.kind = background
        self.rate_limiter = RateLimiter(rate_limit_bytes_per_sec)
        self.block_cache = BlockCache(block_cache_bytes)
        self.open_files = OpenFiles(max_open_files or _half_of_descriptor_limit())
        self.ticker = Ticker()
        self.flush_workers = flush_workers
        self.compaction_workers = compaction_workers
        self.open_file_system = open_file_system
        arguments = (flush_workers, compaction_workers, self.rate_limiter, worker_niceness)
        self.background: Background
        if background == "process":
            self.background = ProcessBackground(*arguments)
        elif background == "thread":
            self.background = ThreadBackground(*arguments, open_file_system=open_file_system)
        elif background == "inline":
            self.background = InlineBackground(*arguments, open_file_system=open_file_system)
        else:
            raise ConfigError([f"background is {background!r}; choose 'process', 'thread' or 'inline'"])

    @classmethod
    def of(cls, config: LSMConfig) -> Self:
        """The private Env of one store."""
        return cls(
            background=config.background,
            flush_workers=config.flush_workers,
            compaction_workers=config.compaction_workers,
            worker_niceness=config.worker_niceness,
            rate_limit_bytes_per_sec=config.rate_limit_bytes_per_sec,
            block_cache_bytes=config.block_cache_bytes,
            max_open_files=config.max_open_files,
        )

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Stop the workers within ``timeout`` seconds. REQUIRES: the stores of this Env are closed. Idempotent."""
        self.background.close(timeout)

    def __enter__(self) -> Self:
        """The Env itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _half_of_descriptor_limit() -> int:
    """Half of what the process may open: the other half is the host program's."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(soft // 2, 100_000)) if soft != resource.RLIM_INFINITY else 100_000
