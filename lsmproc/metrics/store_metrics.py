"""What metrics are taken from: the figures of one store at one moment, under the name that its label ``db`` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lsmproc.errors import ClosedError

if TYPE_CHECKING:
    from lsmproc.store import LSMStore


@dataclass(frozen=True, slots=True)
class StoreMetrics:
    """One store: its name, whether it has a living owner, and the tree of ``Stats.to_json_dict``, empty if not."""

    db: str
    up: bool
    stats: Mapping[str, Any] = field(default_factory=dict)


Look = Callable[[], Iterable[StoreMetrics]]  # at all stores, once for each scrape


def label_of(path: str) -> str:
    """A path as a label: it may hold bytes that are no text."""
    return path.encode("utf-8", "backslashreplace").decode()


def looks_of(*stores: LSMStore) -> Look:
    """Looks at open stores of this process. Raises ValueError without one."""
    if not stores:
        raise ValueError("no store was given; give at least one open store")
    return partial(_look, stores)


def _look(stores: tuple[LSMStore, ...]) -> list[StoreMetrics]:
    return [_metrics_of(store) for store in stores]


def _metrics_of(store: LSMStore) -> StoreMetrics:
    if not store.closed:
        try:
            return StoreMetrics(label_of(store.path), True, store.stats().to_json_dict())
        except ClosedError:
            pass  # It was closed this very moment.
    return StoreMetrics(label_of(store.path), False)
