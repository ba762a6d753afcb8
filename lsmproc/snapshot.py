"""A state of the store that stays as it is, and the ways to read one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeVar, overload

from lsmproc.errors import ClosedError
from lsmproc.iterators.db_iterator import DBIterator, prefix_bounds, records_of
from lsmproc.iterators.short_ranges import FIRST_RECORDS, following_windows
from lsmproc.reading.read_view import ClosedView, ReadView
from lsmproc.record_limits import checked_bound, checked_key

if TYPE_CHECKING:
    from lsmproc.protocols import Columns
    from lsmproc.reading.read_view import Entry
    from lsmproc.statistics.latency import Histogram

Default = TypeVar("Default")


class Pinnable(Protocol):
    """What shows states that can be pinned: the write path of a store, or the followed store of a follower."""

    view: ReadView  # the present state; swapped whole

    def take_snapshot(self, token: object) -> tuple[ReadView, int]:
        """The present view and its sequence number, kept until ``token`` is released."""

    def release_snapshot(self, token: object) -> None:
        """Stop keeping it; from any thread, at any instruction."""


class Pin:
    """Keeps what one view shows at one sequence number until it is closed or dropped."""

    __slots__ = ("_token", "_view", "sequence", "write_path")

    def __init__(self, write_path: Pinnable) -> None:
        """Pin the present state of the store."""
        # First: whatever interrupts the rest, ``close`` releases what was taken.
        self._token: object | None = None
        self.write_path: Pinnable = write_path
        self._token = object()
        self.sequence: int
        self._view, self.sequence = write_path.take_snapshot(self._token)

    @property
    def view(self) -> ReadView:
        """The view, or what raises in its place when the pin or the store is closed."""
        if self._token and type(self.write_path.view) is ReadView:
            return self._view
        return self.write_path.view if self._token else CLOSED_VIEW  # type: ignore[return-value]

    def windows(self, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool) -> Iterator[Columns]:
        """Merged windows of [start, stop). The generator holds the pin until it ends or is dropped."""
        view, sequence = self.view, self.sequence
        for count in FIRST_RECORDS:
            keys, values, bound, sources, parts = view.part(
                start, stop, sequence, count, reverse=reverse, fill_cache=fill_cache
            )
            if keys:
                yield keys, values
            if bound is None:
                return
            self._check(view)
            if not reverse:
                start = bound
                for keys, values, bound in following_windows(sources, parts, start, stop, fill_cache):
                    if keys:
                        yield keys, values
                    if bound is None:
                        return
                    start = bound
                    self._check(view)
                break
            stop = bound
        for window in view.windows(start, stop, sequence, reverse=reverse, fill_cache=fill_cache):
            yield window
            self._check(view)

    def _check(self, view: ReadView) -> None:
        """Raise why ``view`` is no longer to be read from, if so."""
        if self.view is not view:
            self.view.windows(None, None, self.sequence, reverse=False)

    def close(self) -> None:
        """Let go of the state; reading raises from now on. Idempotent.

        Takes no lock: the garbage collector calls it wherever it likes.
        """
        if self._token:
            self._view = CLOSED_VIEW  # type: ignore[assignment]
            self.write_path.release_snapshot(self._token)
            self._token = None  # Last: a close that was interrupted is done again. To release twice does no harm.

    def __del__(self) -> None:
        """Let go, if nobody did."""
        self.close()


class TimedPin(Pin):
    """A pin of one range, which tells how long its windows took: the first one of each position, and the others."""

    __slots__ = ("_next_window", "_seek")

    def __init__(self, write_path: Pinnable, seek: Histogram, next_window: Histogram) -> None:
        """Pin the present state of the store."""
        self._seek = seek
        self._next_window = next_window
        super().__init__(write_path)

    def windows(self, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool) -> Iterator[Columns]:
        """As Pin.windows."""
        windows = super().windows(start, stop, reverse, fill_cache)
        times = self._seek
        began = time.perf_counter_ns()
        for window in windows:
            times.record(time.perf_counter_ns() - began)
            yield window
            times = self._next_window
            began = time.perf_counter_ns()


CLOSED_VIEW = ClosedView(lambda: ClosedError("the snapshot or iterator is closed, or its store is"))


def iterate(
    pin: Pin,
    start: object,
    stop: object,
    prefix: object,
    *,
    reverse: bool,
    include_start: bool,
    include_stop: bool,
    include_key: bool,
    include_value: bool,
    fill_cache: bool,
    on_close: Callable[[], None] | None = None,
) -> DBIterator:
    """A cursor over a range of what ``pin`` shows. Raises TypeError for bounds that are none."""
    first, end = checked_range(start, stop, prefix)
    return DBIterator(
        lambda start, stop, reverse: pin.windows(start, stop, reverse, fill_cache),
        first,
        end,
        include_start=include_start,
        include_stop=include_stop,
        reverse=reverse,
        include_key=include_key,
        include_value=include_value,
        on_close=on_close,
    )


def scan_range(
    pin: Pin, start: object, stop: object, prefix: object, *, reverse: bool, fill_cache: bool
) -> Iterator[tuple[bytes, bytes]]:
    """The records of a range of what ``pin`` shows, lazily, in one direction: the fastest way to read many."""
    if type(start) is bytes and stop is None and prefix is None:
        return records_of(pin.windows(start, None, reverse, fill_cache), reverse=reverse)
    first, end = checked_range(start, stop, prefix)
    if first is not None and end is not None and first >= end:
        return iter(())
    return records_of(pin.windows(first, end, reverse, fill_cache), reverse=reverse)


def checked_range(start: object, stop: object, prefix: object) -> tuple[bytes | None, bytes | None]:
    """The bounds of a range given by its ends or by a prefix. Raises TypeError."""
    if prefix is None:
        return checked_bound(start, "start"), checked_bound(stop, "stop")
    if start is not None or stop is not None:
        raise TypeError("a range is given by start and stop or by prefix, not by both")
    return prefix_bounds(checked_key(prefix))


class Snapshot:
    """The store as it was when the snapshot was taken. Close it: it keeps replaced tables on disk.

    Thread-safe. A context manager; ``close`` is idempotent, and closing the store closes it too.
    """

    def __init__(self, pin: Pin) -> None:
        """Show what ``pin`` keeps; made by ``LSMStore.snapshot()``."""
        self._pin: Pin | None = pin

    @property
    def sequence(self) -> int:
        """Sequence number of the last write that the snapshot shows."""
        return self._open_pin().sequence

    @overload
    def get(self, key: bytes) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: Default) -> bytes | Default: ...
    def get(self, key: bytes, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        pin = self._open_pin()
        value = pin.view.get_at(checked_key(key), pin.sequence)
        return default if value is None else value

    def get_with_meta(self, key: bytes) -> Entry | None:
        """The record of ``key`` with its sequence number and where it was found, or None."""
        pin = self._open_pin()
        return pin.view.lookup(checked_key(key), pin.sequence)

    def range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        fill_cache: bool = True,
    ) -> Iterator[tuple[bytes, bytes]]:
        """The records of [start, stop) in key order, lazily."""
        return scan_range(self._open_pin(), start, stop, prefix, reverse=reverse, fill_cache=fill_cache)

    def iterator(
        self,
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        prefix: bytes | None = None,
        reverse: bool = False,
        include_start: bool = True,
        include_stop: bool = False,
        include_key: bool = True,
        include_value: bool = True,
        fill_cache: bool = True,
    ) -> DBIterator:
        """A cursor over a range; see DBIterator."""
        return iterate(
            self._open_pin(),
            start,
            stop,
            prefix,
            reverse=reverse,
            include_start=include_start,
            include_stop=include_stop,
            include_key=include_key,
            include_value=include_value,
            fill_cache=fill_cache,
        )

    def windows(
        self, start: bytes | None, stop: bytes | None, reverse: bool = False, fill_cache: bool = True
    ) -> Iterator[Columns]:
        """The records of [start, stop) as columns of keys and values, for views of a store that iterate in bulk.

        Ascending windows, or descending ones if ``reverse``; each is ascending in itself. A value of None is a
        deletion. The iterator keeps the state, also when the snapshot is dropped before it.
        """
        return self._open_pin().windows(start, stop, reverse, fill_cache)

    def __getitem__(self, key: bytes) -> bytes:
        """The value of ``key``. Raises KeyError."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: bytes) -> bool:
        """Whether the snapshot shows ``key``."""
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in order."""
        return iter(self.iterator(include_value=False))

    def pin_of(self, write_path: Pinnable) -> Pin:
        """What keeps the state, for an iterator that reads it. Raises ClosedError, ValueError for another store."""
        pin = self._open_pin()
        if pin.write_path is not write_path:
            raise ValueError("the snapshot is of another store: read it through that one, or through its own methods")
        return pin

    def __reduce__(self) -> NoReturn:
        """A snapshot belongs to one open store."""
        raise TypeError("a Snapshot cannot be pickled or copied; take another one with snapshot()")

    @property
    def closed(self) -> bool:
        """Whether the snapshot was closed."""
        return self._pin is None

    def close(self) -> None:
        """Stop keeping the state. Idempotent; iterators taken from the snapshot end with it."""
        pin, self._pin = self._pin, None
        if pin is not None:
            pin.close()

    def __enter__(self) -> Self:
        """The snapshot itself, to be closed at the end of the block."""
        self._open_pin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _open_pin(self) -> Pin:
        if self._pin is None:
            raise ClosedError("this snapshot is closed; take a new one with snapshot()")
        return self._pin


def checked_snapshot(snapshot: object, write_path: Pinnable) -> Snapshot:
    """``snapshot`` if it is an open one of this store. Raises TypeError, ValueError, ClosedError."""
    if not isinstance(snapshot, Snapshot):
        raise TypeError(f"a snapshot is what snapshot() returned, not {type(snapshot).__name__}")
    snapshot.pin_of(write_path)
    return snapshot
