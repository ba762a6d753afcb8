"""What a benchmark asks of a store. Each system answers in the way its own documentation recommends.

``put``, ``delete`` and ``get`` may be attributes bound to the system's own methods, so that nothing stands between
the clock and the system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from lsmproc.bench.settings import Settings
from lsmproc.bench.systems import configured

_POLL_SECONDS = 0.002
_QUIET_SECONDS = 0.25
_QUIET_SHARE = 0.02  # of one processor: less than this is this poll itself


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How to open a store; a system without a setting leaves it out of ``settings``."""

    sync: bool  # each write returns when it survives power loss
    cache_bytes: int
    write_buffer_bytes: int
    bloom_bits: int
    defaults: bool = False  # the system's own defaults count, whatever else is said here
    background: str = "process"  # of lsmproc
    configs: Mapping[str, str] = field(default_factory=dict)  # of lsmproc: by name of the system, files of settings

    @classmethod
    def of(cls, settings: Settings, *, sync: bool = False, cache_bytes: int | None = None) -> Self:
        """As the settings of a run say, but for what a workload needs otherwise."""
        return cls(
            sync=sync,
            cache_bytes=settings.cache_bytes if cache_bytes is None else cache_bytes,
            write_buffer_bytes=settings.write_buffer_bytes,
            bloom_bits=settings.bloom_bits,
            defaults=settings.defaults,
            background=settings.background,
            configs=configured(settings.config),
        )


class System(Protocol):
    """An open store."""

    @property
    def version(self) -> str:
        """Of the system and its binding."""

    @property
    def settings(self) -> dict[str, Any]:
        """What it was opened with, in its own words."""

    @property
    def put(self) -> Callable[[bytes, bytes], Any]:
        """Set one record."""

    @property
    def delete(self) -> Callable[[bytes], Any]:
        """Remove one record."""

    @property
    def get(self) -> Callable[[bytes], bytes | None]:
        """One value, or None."""

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Set records as one batch."""

    @property
    def get_many(self) -> Callable[[list[bytes]], Any]:
        """Values of keys, in whatever form the system has for it."""

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """All records in order."""

    def seek(self, key: bytes, count: int) -> Any:
        """The first ``count`` records from ``key`` on, as a list."""

    def compact(self) -> None:
        """Merge everything into the form that is best for reading, and wait for it."""

    def flush(self) -> None:
        """Write what is in memory to tables, if the system can be asked to."""

    def wait_idle(self, timeout: float) -> float:
        """Wait for all background work; the time.perf_counter() at which it was done. Raises TimeoutError."""

    def activity(self) -> tuple[str, ...]:
        """The kinds of background work that run now: "flush", "compaction"."""

    def figures(self) -> dict[str, float]:
        """What the system itself counted since it was opened, for the record; empty if it tells nothing.

        ``merged_per_second``: records that compactions read, for each second of one compacting process.
        ``write_amplification``: bytes written to tables for each byte that was flushed.
        ``stalled_seconds``: how long writes were held back. ``levels``: how many of the tree's levels hold tables.
        """

    def close(self) -> None:
        """Close."""


class OpenSystem(Protocol):
    """Opens a system's store in a directory, or makes it."""

    def __call__(self, directory: str, options: StoreOptions) -> System:
        """Open."""


def poll(done: Callable[[], bool], timeout: float) -> float:
    """Ask until ``done``; the time at which it was. Raises TimeoutError."""
    deadline = time.perf_counter() + timeout
    while not done():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"background work goes on after {timeout:g} s")
        time.sleep(_POLL_SECONDS)
    return time.perf_counter()


def wait_quiet(timeout: float) -> float:
    """For a system that cannot be asked: wait until the process uses no CPU for a while; the beginning of that."""
    deadline = time.perf_counter() + timeout
    since, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - since < _QUIET_SECONDS:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"the process is still busy after {timeout:g} s")
        time.sleep(_QUIET_SECONDS / 10)
        if time.process_time() - used > _QUIET_SHARE * _QUIET_SECONDS:
            since, used = time.perf_counter(), time.process_time()
    return since
