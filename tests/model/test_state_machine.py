"""Hypothesis looks for a sequence of operations after which the store and a dict differ.

The quick form in the test run takes a fixed sample. Search longer, and each time elsewhere, with::

    LSMPROC_MODEL_STEPS=20000 python -m pytest tests/model -k state_machine --timeout 0

which is the number of steps for each set of options.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import lsmproc
from lsmproc.storage.file_system import PosixFileSystem
from tests.model.checked_store import Bounds, CheckedStore
from tests.model.option_sets import OPTION_SETS

STEPS = int(os.environ.get("LSMPROC_MODEL_STEPS", "0"))
QUICK_STEPS = 250
STEPS_OF_ONE_RUN = 50
MOST_HANDLES = 4

# Keys that collide often, and the edges of key space: the empty key, zero bytes, bytes with nothing above them.
KEYS = st.one_of(
    st.integers(0, 60).map(lambda number: b"key %02d" % number),
    st.sampled_from([b"", b"\0", b"k", b"key 1", b"key 10\0", b"key 2\xff", b"z", b"\xff", b"\xff\xff", b"\xff\xff\0"]),
)
VALUES = st.one_of(
    st.sampled_from([b"", b"\0", b"one", b"two", b"three"]),
    st.builds(lambda head, count: head * count, st.binary(min_size=1, max_size=4), st.integers(1, 120)),
)
WRITES = st.lists(st.tuples(KEYS, st.none() | VALUES), max_size=12)
BOUNDS = st.one_of(
    st.builds(
        Bounds,
        start=st.none() | KEYS,
        stop=st.none() | KEYS,
        reverse=st.booleans(),
        include_start=st.booleans(),
        include_stop=st.booleans(),
    ),
    st.builds(
        Bounds, prefix=st.sampled_from([b"", b"k", b"key 1", b"key", b"\xff", b"nothing"]), reverse=st.booleans()
    ),
)
MOVES = st.lists(st.one_of(st.sampled_from(["next", "prev", "next", "prev", "first", "last"]), KEYS), max_size=12)
INDEXES = st.integers(0, MOST_HANDLES - 1)
LEVELS = st.integers(0, 6)


class UnsyncedFileSystem:
    """The real disk without waiting for it: a killed process loses nothing that was not synced."""

    def __init__(self, path: str) -> None:
        self._disk = PosixFileSystem(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def fdatasync(self, fd: int) -> None:
        del fd

    def sync_directory(self, name: str = ".") -> None:
        del name


class StoreAndDict(RuleBasedStateMachine):
    """One run: a new store and an empty dict."""

    options: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self._directory = Path(tempfile.mkdtemp(prefix="lsmproc-model-"))
        shared = {name: self.options[name] for name in ("block_cache_bytes", "max_open_files") if name in self.options}
        self._env = lsmproc.Env(background="inline", open_file_system=UnsyncedFileSystem, **shared)
        self.both: CheckedStore | None = None

    @initialize()
    def open(self) -> None:
        self.both = CheckedStore(self._directory, self.options, self._env)

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        self._both.put(key, value)

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self._both.delete(key)

    @rule(writes=WRITES, discard=st.sampled_from([False, False, False, True]))
    def batch(self, writes: list[tuple[bytes, bytes | None]], discard: bool) -> None:
        self._both.batch(writes, discard=discard)

    @rule(seed=st.integers(0, 1000), count=st.integers(5, 40))
    def many_writes(self, seed: int, count: int) -> None:
        """Enough to fill memtables, level 0 and what is below."""
        draw = random.Random(seed)
        for _ in range(count):
            key = b"key %02d" % draw.randrange(60)
            if draw.random() < 0.2:
                self._both.delete(key)
            else:
                self._both.put(key, draw.randbytes(draw.randrange(1, 9)) * draw.randrange(20))

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        self._both.get(key)

    @rule(keys=st.lists(KEYS, max_size=10))
    def get_many(self, keys: list[bytes]) -> None:
        self._both.get_many(keys)

    @rule(bounds=BOUNDS)
    def scan(self, bounds: Bounds) -> None:
        self._both.scan(bounds)

    @precondition(lambda self: len(self._both.snapshots) < MOST_HANDLES)
    @rule()
    def take_snapshot(self) -> None:
        self._both.take_snapshot()

    @precondition(lambda self: self._both.snapshots)
    @rule(index=INDEXES, bounds=BOUNDS)
    def read_snapshot(self, index: int, bounds: Bounds) -> None:
        self._both.read_snapshot(index, bounds)

    @precondition(lambda self: self._both.snapshots and not self._both.iterators)
    @rule(index=INDEXES)
    def close_snapshot(self, index: int) -> None:
        self._both.close_snapshot(index)

    @precondition(lambda self: len(self._both.iterators) < MOST_HANDLES)
    @rule(bounds=BOUNDS, snapshot=st.none() | INDEXES)
    def open_iterator(self, bounds: Bounds, snapshot: int | None) -> None:
        self._both.open_iterator(bounds, snapshot)

    @precondition(lambda self: self._both.iterators)
    @rule(index=INDEXES, moves=MOVES)
    def move_iterator(self, index: int, moves: list[str | bytes]) -> None:
        self._both.move_iterator(index, moves)

    @precondition(lambda self: self._both.iterators)
    @rule(index=INDEXES)
    def close_iterator(self, index: int) -> None:
        self._both.close_iterator(index)

    @rule()
    def flush(self) -> None:
        self._both.flush()

    @rule(level=LEVELS, start=st.none() | KEYS, stop=st.none() | KEYS)
    def compact_level(self, level: int, start: bytes | None, stop: bytes | None) -> None:
        self._both.compact_level(level, start, stop)

    @rule(start=st.none() | KEYS, stop=st.none() | KEYS)
    def compact_range(self, start: bytes | None, stop: bytes | None) -> None:
        self._both.compact_range(start, stop)

    @rule(flush=st.booleans())
    def reopen(self, flush: bool) -> None:
        self._both.reopen(flush=flush)

    @rule()
    def kill(self) -> None:
        self._both.kill()

    def teardown(self) -> None:
        """Check everything once more; leave nothing behind, whatever went wrong."""
        try:
            if self.both is not None:
                self.both.close()
        finally:
            if self.both is not None:
                self.both.abandon()
            self._env.close()
            shutil.rmtree(self._directory)

    @property
    def _both(self) -> CheckedStore:
        assert self.both is not None
        return self.both


@pytest.mark.parametrize("name", OPTION_SETS)
def test_a_store_answers_as_a_dict_does(name: str) -> None:
    """Whatever is written, read, flushed, merged, reopened and killed in whatever order."""
    machine = type(f"StoreAndDict_{name}", (StoreAndDict,), {"options": OPTION_SETS[name]})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=max(1, (STEPS or QUICK_STEPS) // STEPS_OF_ONE_RUN),
            stateful_step_count=STEPS_OF_ONE_RUN,
            derandomize=not STEPS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
