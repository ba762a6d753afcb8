"""The iterator that users hold: a cursor between the records of a range, moving both ways.

The cursor stands between two records, before the first or after the last one; it never stands on a record.
``next()`` steps over the record ahead and returns it, ``prev()`` steps back over the record behind and returns it, so
``next()`` followed by ``prev()`` returns the same record twice. At an end they raise StopIteration, and the
other direction still works. With ``reverse=True`` "ahead" means descending keys; ``start``, ``stop`` and the
seek methods keep their meaning in key space. All of this is plyvel's behaviour, with one exception: a seek beyond the
range stops at the range's end in both directions, where plyvel lets ``prev()`` leave the range after such a seek.

``for`` runs in C. The cursor has no index of its own: the current window's records are handed out by plain list
iterators, which know how far they got (``operator.length_hint``) and can be moved (``__setstate__``). So
``iter()`` may give the caller a ``chain`` over those same list iterators, without Python bytecode per record, while
``next()``, ``prev()`` and the seeks see and move the one common position. ``iter(iterator)`` therefore is a view of
the iterator and not the iterator itself, but both may be mixed freely.

One thread at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import chain, compress, repeat, starmap
from operator import is_not, length_hint
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from lsmproc.errors import ClosedError
from lsmproc.protocols import Columns

# (start, stop, reverse) -> merged windows of [start, stop), None for an open end, tombstones (None) still inside.
# Ascending windows, or descending ones if reverse; each window itself is ascending and not empty. Every call
# reads the same state of the store.
MakeWindows = Callable[["bytes | None", "bytes | None", bool], Iterator[Columns]]

_NOTHING: tuple[()] = ()


def prefix_bounds(prefix: bytes) -> tuple[bytes, bytes | None]:
    """The range [start, stop) of all keys that begin with ``prefix``; stop is None when no key can lie above it."""
    head = prefix.rstrip(b"\xff")
    return prefix, head[:-1] + bytes((head[-1] + 1,)) if head else None


def scan(
    make_windows: MakeWindows,
    start: bytes | None = None,
    stop: bytes | None = None,
    *,
    include_start: bool = True,
    include_stop: bool = False,
    reverse: bool = False,
    include_key: bool = True,
    include_value: bool = True,
) -> Iterator[Any]:
    """All records of a range in one direction, lazily and without Python bytecode per record.

    Yields ``(key, value)``, a key, a value or None, as the include flags say. An error of the windows ends it.
    """
    first, end = _half_open(start, stop, include_start, include_stop)
    if end is not None and first is not None and first >= end:
        return iter(_NOTHING)
    windows = make_windows(first, end, reverse)
    if include_key and include_value:
        return records_of(windows, reverse=reverse)
    windows = _live_windows(windows)
    shape = _Shape(reverse, include_key, include_value)
    return chain.from_iterable(_Window(keys, values, shape, 0).records for keys, values in windows)


def records_of(windows: Iterator[Columns], *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """The live records of windows, in the direction they come in; C-driven."""
    return chain.from_iterable(starmap(_reversed_records if reverse else zip, _live_windows(windows)))


def _reversed_records(keys: list[bytes], values: list[Any]) -> Iterator[tuple[bytes, Any]]:
    return zip(reversed(keys), reversed(values), strict=False)


class DBIterator:
    """A cursor in a range; see the module's docstring.

    Errors of the windows (CorruptionError, ...) pass through. The cursor then stays where it was, so a later call
    tries again and never skips what could not be read.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_end",
        "_gap",
        "_make_windows",
        "_on_close",
        "_shape",
        "_start",
        "_upward",
        "_window",
        "_windows",
    )

    def __init__(
        self,
        make_windows: MakeWindows,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        include_start: bool = True,
        include_stop: bool = False,
        reverse: bool = False,
        include_key: bool = True,
        include_value: bool = True,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Stand before the first record (in reverse: the last one) of the range; nothing is read yet.

        ``on_close`` is called by close() or by the garbage collector, then in any thread and at any moment: it must
        take no lock that its caller may hold. It is called once, or again if the first close was interrupted.
        """
        self._closed = False
        self._on_close = on_close
        self._make_windows = make_windows
        first, end = _half_open(start, stop, include_start, include_stop)
        # An empty range is [start, start): b"" is the least key, so nothing lies below it.
        self._start = b"" if first is None else first
        self._end = end if end is None or end >= self._start else self._start
        self._shape = _Shape(reverse, include_key, include_value)
        self._gap = self._end if reverse else self._start  # where the cursor stands while no window is loaded
        self._window = _NO_WINDOW
        self._windows: Iterator[Columns] | None = None  # goes on where the current window ends, in the direction ...
        self._upward = not reverse  # ... of ascending keys or not

    def __iter__(self) -> Iterator[Any]:
        """The records ahead of the cursor, moving the cursor along; C-driven."""
        self._check_open()
        return chain.from_iterable(self._runs_ahead())

    def __next__(self) -> Any:
        """Step over the record ahead and return it; StopIteration at the end."""
        for record in self._window.records:
            return record
        if not self._load(ahead=True):
            raise StopIteration
        return next(self._window.records)

    def prev(self) -> Any:
        """Step back over the record behind the cursor and return it; StopIteration at the beginning."""
        passed = self._window.passed()
        if passed == 0:
            if not self._load(ahead=False):
                raise StopIteration
            passed = len(self._window.keys)
        self._move_in_window(passed - 1)
        return self._window.record(passed - 1)

    def seek(self, target: bytes) -> None:
        """Stand just below ``target`` in key order: keys >= target on one side, keys < target on the other.

        A target outside the range means the nearer end of the range.
        """
        self._check_open()
        if not isinstance(target, bytes):
            remedy = "; call .encode() on text" if isinstance(target, str) else ""
            raise TypeError(f"a seek target is bytes, not {type(target).__name__}{remedy}")
        keys = self._window.keys
        if keys and keys[0] <= target <= keys[-1]:
            below = bisect_left(keys, target)
            self._move_in_window(len(keys) - below if self._shape.reverse else below)
        elif target <= self._start:
            self._stand_at(self._start)
        elif self._end is not None and target >= self._end:
            self._stand_at(self._end)
        else:
            self._stand_at(target)

    def seek_to_start(self) -> None:
        """Stand below the first record of the range."""
        self._check_open()
        self._stand_at(self._start)

    def seek_to_stop(self) -> None:
        """Stand above the last record of the range."""
        self._check_open()
        self._stand_at(self._end)

    def close(self) -> None:
        """Let go of the state of the store that this iterator reads. Idempotent."""
        if self._closed and self._on_close is None:
            return
        self._closed = True
        self._stand_at(None)
        if self._on_close is not None:
            self._on_close()
            self._on_close = None  # Last: a close that was interrupted is done again.

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def __enter__(self) -> Self:
        """The iterator itself, to be closed at the end of the block."""
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Close, if nobody did."""
        # An iterator whose constructor was interrupted has no _window, and has read nothing.
        if getattr(self, "_window", None) is not None:
            self.close()

    def __reduce__(self) -> NoReturn:
        """A cursor belongs to one open store."""
        raise TypeError("an iterator cannot be pickled or copied; make another one with iterator()")

    def _runs_ahead(self) -> Iterator[Iterator[Any]]:
        """The records left in the current window, then those of each window after it."""
        while self._window.left() or self._load(ahead=True):
            yield self._window.records

    def _load(self, *, ahead: bool) -> bool:
        """Make the next window ahead (or behind) the current one and stand on its near side; False if there is none."""
        self._check_open()
        upward = ahead is not self._shape.reverse
        try:
            if self._windows is None or self._upward is not upward:
                self._windows = self._windows_from_here(upward)
                self._upward = upward
            columns = next(self._windows, None)
            if columns is None:
                return False
            self._show(_Window(*columns, self._shape, 0 if ahead else len(columns[0])))
        except BaseException:
            # Whatever was read and not shown is read again by the next call.
            self._windows = None
            raise
        return True

    def _windows_from_here(self, upward: bool) -> Iterator[Columns]:
        """Windows beyond the current one, or from the gap where there is no window."""
        keys = self._window.keys
        if upward:
            # The key after k is k + b"\0".
            first = keys[-1] + b"\0" if keys else self._gap
            if first is None or (self._end is not None and first >= self._end):
                return iter(_NOTHING)
            return _live_windows(self._make_windows(first or None, self._end, False))
        end = keys[0] if keys else self._gap
        if end is not None and end <= self._start:
            return iter(_NOTHING)
        return _live_windows(self._make_windows(self._start or None, end, True))

    def _move_in_window(self, passed: int) -> None:
        """Stand behind the first ``passed`` records of the current window, counted in the direction of iteration."""
        self._show(_Window(self._window.keys, self._window.values, self._shape, passed))

    def _stand_at(self, gap: bytes | None) -> None:
        """Stand just below the key ``gap``, or above all keys if it is None, with no window loaded."""
        self._gap = gap
        self._windows = None
        self._show(_NO_WINDOW)

    def _show(self, window: _Window) -> None:
        """Make a window the current one, in one step, and let a chain made by iter() come and ask for it."""
        shown, self._window = self._window, window
        shown.end()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this iterator is closed; make a new one from the store or the snapshot")


class _Shape(NamedTuple):
    """What a window's records look like."""

    reverse: bool
    include_key: bool
    include_value: bool


class _Window:
    """One window of live records and the position in it, which is that of the list iterators over its columns."""

    __slots__ = ("_drivers", "_shape", "keys", "records", "values")

    def __init__(self, keys: list[bytes], values: list[Any], shape: _Shape, passed: int) -> None:
        """Stand behind the first ``passed`` records, counted in the direction of iteration."""
        self.keys = keys
        self.values = values
        columns: tuple[list[Any], ...]
        if shape.include_key:
            columns = (keys, values) if shape.include_value else (keys,)
        else:
            columns = (values,) if shape.include_value else ([None] * len(keys),)
        drivers: tuple[Any, ...] = tuple(map(reversed if shape.reverse else iter, columns))
        if passed:
            position = len(keys) - 1 - passed if shape.reverse else passed
            for driver in drivers:
                driver.__setstate__(position)
        self._shape = shape
        self._drivers = drivers
        # zip asks its first column first, so that one's position is the window's.
        self.records: Iterator[Any] = drivers[0] if len(drivers) == 1 else zip(*drivers, strict=False)

    def left(self) -> int:
        """How many records are ahead."""
        return length_hint(self._drivers[0])

    def passed(self) -> int:
        """How many records are behind."""
        return len(self.keys) - length_hint(self._drivers[0])

    def record(self, passed: int) -> Any:
        """The record ahead of a cursor that has passed ``passed`` records."""
        index = len(self.keys) - 1 - passed if self._shape.reverse else passed
        if self._shape.include_key:
            return (self.keys[index], self.values[index]) if self._shape.include_value else self.keys[index]
        return self.values[index] if self._shape.include_value else None

    def end(self) -> None:
        """Stop handing out records."""
        for driver in self._drivers:
            driver.__setstate__(-1 if self._shape.reverse else len(self.keys))


# Where no window is loaded. It holds no record, so nothing about it ever changes and all iterators may share it.
_NO_WINDOW = _Window([], [], _Shape(reverse=False, include_key=True, include_value=True), 0)


def _live_windows(windows: Iterator[Columns]) -> Iterator[Columns]:
    """The windows without tombstones, and without windows of nothing else."""
    for keys, values in windows:
        # Empty values are rare, and looking for a false value is faster than looking for None.
        if all(values) or None not in values:
            yield keys, values
            continue
        live = list(map(is_not, values, repeat(None)))
        if any(live):
            yield list(compress(keys, live)), list(compress(values, live))


def _half_open(
    start: bytes | None, stop: bytes | None, include_start: bool, include_stop: bool
) -> tuple[bytes | None, bytes | None]:
    """The same range as [start, stop), knowing that the key after k is k and a zero byte."""
    if start is not None and not include_start:
        start += b"\0"
    if stop is not None and include_stop:
        stop += b"\0"
    return start, stop
