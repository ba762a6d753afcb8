"""Stores that flush and merge within a test, and what they tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.events.event import Event, event_name

OPTIONS: dict[str, Any] = {
    "memtable_max_bytes": 4096,
    "sstable_max_bytes": 4096,
    "block_bytes": 256,
    "level_base_bytes": 8192,
    "level0_compaction_trigger": 2,
    "wal_sync": "none",
}

OpenStore = Callable[..., lsmproc.LSMStore]


class Heard:
    """A subscriber that remembers, and lets a test wait."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def names(self) -> list[str]:
        """The kinds, in order."""
        return [event_name(event) for event in self.events]

    def of(self, name: str) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if event_name(event) == name]

    def wait_for(self, name: str, count: int = 1, timeout: float = 20.0) -> Any:
        """The last of so many events of a kind, once they have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(name)) >= count, timeout), f"{name}: {self.names}"
            return self.of(name)[count - 1]


@pytest.fixture
def heard() -> Heard:
    """Heard nothing yet."""
    return Heard()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store ``tmp_path / "store"``, inline unless asked otherwise, and closes it after the test."""
    opened: list[lsmproc.LSMStore] = []

    def open_one(**options: Any) -> lsmproc.LSMStore:
        background = {} if "env" in options else {"background": "inline"}
        store = lsmproc.open(tmp_path / "store", **{**OPTIONS, **background, **options})
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def fill(store: lsmproc.LSMStore, count: int = 400) -> None:
    """Records for some flushes and compactions."""
    for number in range(count):
        store.put(b"%06d" % (number * 7919 % count), b"v" * 40)
