"""A store beside a dict that holds the same: each operation is done on both, and what they answer is compared.

The dict knows nothing of logs, tables, threads or processes, so whatever the store does behind its back, flushing,
merging, dying and coming back, must not show. ``reopen`` closes the store properly; ``kill`` leaves it open, copies
its directory as it is at that moment, and goes on with the copy: what the page cache holds is what survives the
death of a process.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lsmproc
from tests.iterators.record_table import ModelCursor

Write = tuple[bytes, bytes | None]  # None deletes

_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Bounds:
    """A range as ``iterator`` takes it."""

    start: bytes | None = None
    stop: bytes | None = None
    prefix: bytes | None = None
    reverse: bool = False
    include_start: bool = True
    include_stop: bool = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``range``, which is half-open always."""
        return {"start": self.start, "stop": self.stop, "prefix": self.prefix, "reverse": self.reverse}

    def iterator_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``iterator``."""
        return self.arguments() | {"include_start": self.include_start, "include_stop": self.include_stop}

    def select(self, records: dict[bytes, bytes], *, half_open: bool = False) -> list[tuple[bytes, bytes]]:
        """The records in the range, ascending."""
        return [record for record in sorted(records.items()) if self._holds(record[0], half_open=half_open)]

    def _holds(self, key: bytes, *, half_open: bool) -> bool:
        if self.prefix is not None:
            return key.startswith(self.prefix)
        with_start = self.include_start or half_open
        with_stop = self.include_stop and not half_open
        above = self.start is None or key > self.start or (key == self.start and with_start)
        below = self.stop is None or key < self.stop or (key == self.stop and with_stop)
        return above and below


class CheckedStore:
    """See the module's docstring. Close it at the end."""

    def __init__(self, directory: Path, options: dict[str, Any], env: lsmproc.Env | None = None) -> None:
        """Make stores below ``directory``, in ``env`` if one is given; the caller closes that."""
        self._directories = directory
        self._generation = 0
        self._options = options
        self._env = env
        self.records: dict[bytes, bytes] = {}
        self._last_sequence = 0
        self.snapshots: list[tuple[lsmproc.Snapshot, dict[bytes, bytes]]] = []
        self.iterators: list[tuple[lsmproc.DBIterator, ModelCursor]] = []
        self.store = self._open()

    def put(self, key: bytes, value: bytes) -> None:
        self.store.put(key, value)
        self.records[key] = value
        self._check_written(key)

    def delete(self, key: bytes) -> None:
        self.store.delete(key)
        self.records.pop(key, None)
        self._check_written(key)

    def batch(self, writes: Iterable[Write], *, discard: bool = False) -> None:
        """Write a batch, or raise inside its block."""
        keys = set()
        try:
            with self.store.write_batch() as batch:
                for key, value in writes:
                    keys.add(key)
                    batch.delete(key) if value is None else batch.put(key, value)
                _interrupt(discard)
        except InterruptedError:
            self.get_many(sorted(keys))
            return
        for key, value in writes:
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        for key in keys:
            self._check_written(key)

    def get(self, key: bytes) -> bytes | None:
        """The value by all ways to read one."""
        expected = self.records.get(key)
        assert expected == self.store.get(key)
        assert (key in self.records) == (key in self.store)
        entry = self.store.get_with_meta(key)
        assert expected == (entry and entry.value)
        assert b"missing" == self.store.get(key, b"missing") or expected is not None
        return expected

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        expected = [self.records.get(key) for key in keys]
        assert expected == self.store.get_many(keys)
        return expected

    def scan(self, bounds: Bounds) -> list[tuple[bytes, bytes]]:
        """A range and a whole iteration, and a range over a range of each live snapshot."""
        expected = _directed(bounds.select(self.records, half_open=True), bounds)
        assert expected == list(self.store.range(**bounds.arguments()))
        with self.store.iterator(**bounds.iterator_arguments()) as iterator:
            assert _directed(bounds.select(self.records), bounds) == list(iterator)
        return expected

    def take_snapshot(self) -> None:
        self.snapshots.append((self.store.snapshot(), dict(self.records)))

    def read_snapshot(self, index: int, bounds: Bounds) -> list[tuple[bytes, bytes]]:
        """A snapshot shows what the dict held when it was taken."""
        if not self.snapshots:
            return []
        snapshot, records = self.snapshots[index % len(self.snapshots)]
        for key in {*records, *self.records}:
            assert records.get(key) == snapshot.get(key)
        expected = _directed(bounds.select(records, half_open=True), bounds)
        assert expected == list(snapshot.range(**bounds.arguments()))
        assert expected == list(self.store.range(**bounds.arguments(), snapshot=snapshot))
        return expected

    def close_snapshot(self, index: int) -> None:
        if self.snapshots:
            self.snapshots.pop(index % len(self.snapshots))[0].close()

    def open_iterator(self, bounds: Bounds, snapshot: int | None = None) -> None:
        """A cursor over the present, or over a snapshot, that later steps move."""
        records, source = self.records, None
        if snapshot is not None and self.snapshots:
            source, records = self.snapshots[snapshot % len(self.snapshots)]
        iterator = self.store.iterator(**bounds.iterator_arguments(), snapshot=source)
        self.iterators.append((iterator, ModelCursor(bounds.select(records), reverse=bounds.reverse)))

    def move_iterator(self, index: int, moves: Iterable[str | bytes]) -> list[Any]:
        """Moves are "next", "prev", "first", "last" or a key to seek."""
        if not self.iterators:
            return []
        iterator, cursor = self.iterators[index % len(self.iterators)]
        if iterator.closed:  # its snapshot may be closed instead, which it notices at its next window only
            return []
        return [_move(iterator, cursor, move) for move in moves]

    def close_iterator(self, index: int) -> None:
        if self.iterators:
            self.iterators.pop(index % len(self.iterators))[0].close()

    def flush(self) -> None:
        self.store.flush_memtable(timeout=_WAIT_SECONDS)

    def compact_level(self, level: int, start: bytes | None = None, stop: bytes | None = None) -> None:
        self.store.compact_level(level, start, stop, timeout=_WAIT_SECONDS)

    def compact_range(self, start: bytes | None = None, stop: bytes | None = None) -> None:
        self.store.compact_range(start, stop, timeout=_WAIT_SECONDS)

    def reopen(self, *, flush: bool = False) -> None:
        """Close and open again."""
        self._close_readers()
        self.store.close(flush=flush)
        self.store = self._open()
        self.check_all()

    def kill(self) -> None:
        """Leave the store as it is, and go on with what a killed process would leave on disk."""
        self.store.wait_idle(_WAIT_SECONDS)  # at once when inline; else no file comes or goes while it is copied
        source = self._directory
        self._generation += 1
        shutil.copytree(source, self._directory)
        self._close_readers()
        self.store.close()
        shutil.rmtree(source)
        self.store = self._open()
        self.check_all()

    def check_all(self) -> list[tuple[bytes, bytes]]:
        """Everything, both ways, and every file that is there is one that belongs there."""
        expected = sorted(self.records.items())
        assert expected == list(self.store.items())
        assert expected[::-1] == list(self.store.items(reverse=True))
        return expected

    def check_files(self) -> None:
        """REQUIRES: no reader holds an old version. Every table in the directory is a live one."""
        self.store.wait_idle(_WAIT_SECONDS)
        tables = {path.name for path in self._directory.glob("*.sst")}
        assert {file.name for file in self.store.live_files()} == tables
        assert [] == list((self._directory / "tmp").iterdir())

    def close(self) -> None:
        self._close_readers()
        if not self.store.closed:
            self.check_all()
            self.check_files()
        self.store.close()

    def abandon(self) -> None:
        """Close without another look, after a failure."""
        self.store.close()

    @property
    def _directory(self) -> Path:
        return self._directories / f"store {self._generation}"

    def _open(self) -> lsmproc.LSMStore:
        return lsmproc.open(self._directory, env=self._env, **self._options)

    def _close_readers(self) -> None:
        for iterator, _ in self.iterators:
            iterator.close()
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.iterators.clear()
        self.snapshots.clear()

    def _check_written(self, key: bytes) -> None:
        """A write is visible when it returns, and is the newest so far."""
        self.get(key)
        entry = self.store.get_with_meta(key)
        if entry is not None:
            assert self._last_sequence < entry.sequence or entry.sequence == self.store._write_path.last_sequence
            self._last_sequence = max(entry.sequence, self._last_sequence)


def _interrupt(discard: bool) -> None:
    if discard:
        raise InterruptedError


def _directed(records: list[tuple[bytes, bytes]], bounds: Bounds) -> list[tuple[bytes, bytes]]:
    return records[::-1] if bounds.reverse else records


def _move(iterator: lsmproc.DBIterator, cursor: ModelCursor, move: str | bytes) -> Any:
    if isinstance(move, bytes):
        iterator.seek(move)
        return cursor.seek(move)
    if move in {"first", "last"}:
        iterator.seek_to_start() if move == "first" else iterator.seek_to_stop()
        cursor.below = 0 if move == "first" else len(cursor.records)
        return None
    expected = cursor.step(ahead=move == "next")
    actual = next(iterator, None) if move == "next" else _previous(iterator)
    assert expected == actual
    return expected


def _previous(iterator: lsmproc.DBIterator) -> tuple[bytes, bytes] | None:
    records: Iterator[Any] = iter(iterator.prev, object())
    return next(records, None)
