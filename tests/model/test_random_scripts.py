"""One long random script of operations, played with each kind of background: the answers are the same.

Longer scripts, and more of them, with::

    LSMPROC_MODEL_SCRIPT_STEPS=20000 LSMPROC_MODEL_SEEDS=10 python -m pytest tests/model -k script --timeout 0
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.checked_store import Bounds, CheckedStore
from tests.model.option_sets import OPTION_SETS

STEPS = int(os.environ.get("LSMPROC_MODEL_SCRIPT_STEPS", "400"))
SEEDS = range(int(os.environ.get("LSMPROC_MODEL_SEEDS", "1")))
BACKGROUNDS = ("inline", "thread", "process")
KEY_COUNT = 400
MOST_HANDLES = 5

# Larger than in the state machine: a worker process is given a few hundred records at a time.
LARGER = {
    "memtable_max_bytes": 16 << 10,
    "sstable_max_bytes": 16 << 10,
    "level_base_bytes": 32 << 10,
    "wal_sync_interval_ms": 20,
}

Operation = Callable[[CheckedStore], Any]


def script(seed: int, steps: int) -> list[Operation]:
    """Operations in the proportions of a busy service, and each of the rare ones now and then."""
    draw = random.Random(seed)
    makers: list[tuple[int, Callable[[random.Random], Operation]]] = [
        (300, _put),
        (80, _delete),
        (100, _batch),
        (100, _get),
        (20, _get_many),
        (20, _scan),
        (8, lambda draw: CheckedStore.take_snapshot if draw.random() < 0.5 else _close_snapshot(draw)),
        (10, _read_snapshot),
        (10, _open_iterator),
        (40, _move_iterator),
        (10, _close_iterator),
        (4, lambda _: CheckedStore.flush),
        (4, _compact),
        (1, lambda _: CheckedStore.kill),
        (1, _reopen),
    ]
    weights = [weight for weight, _ in makers]
    return [draw.choices(makers, weights)[0][1](draw) for _ in range(steps)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["tiny", "tiny-tiered", "mapped-log", "plain-tables"])
def test_a_script_gives_the_same_answers_with_each_background(name: str, seed: int, tmp_path: Path) -> None:
    """Inline, in threads and in processes."""
    played = {}
    for background in BACKGROUNDS:
        options = OPTION_SETS[name] | LARGER | {"background": background}
        (tmp_path / background).mkdir()
        played[background] = _play(script(seed, STEPS), tmp_path / background, options)
    assert 1 == len(set(played.values())), played


def _play(operations: list[Operation], directory: Path, options: dict[str, Any]) -> str:
    """A digest of every answer, after comparing each with a dict's."""
    digest = hashlib.sha256()
    both = CheckedStore(directory, options)
    try:
        for operation in operations:
            digest.update(repr(operation(both)).encode())
        digest.update(repr(both.check_all()).encode())
        both.close()
    finally:
        both.abandon()
    return digest.hexdigest()


def _key(draw: random.Random) -> bytes:
    return b"key %04d" % draw.randrange(KEY_COUNT)


def _value(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(12)) * draw.randrange(1, 40)


def _bounds(draw: random.Random) -> Bounds:
    reverse = draw.random() < 0.5
    if draw.random() < 0.3:
        return Bounds(prefix=_key(draw)[: draw.randrange(3, 8)], reverse=reverse)
    start, stop = (None if draw.random() < 0.2 else _key(draw) for _ in range(2))
    return Bounds(start, stop, None, reverse, draw.random() < 0.5, draw.random() < 0.5)


def _put(draw: random.Random) -> Operation:
    key, value = _key(draw), _value(draw)
    return lambda both: both.put(key, value)


def _delete(draw: random.Random) -> Operation:
    key = _key(draw)
    return lambda both: both.delete(key)


def _batch(draw: random.Random) -> Operation:
    writes = [(_key(draw), None if draw.random() < 0.3 else _value(draw)) for _ in range(draw.randrange(30))]
    discard = draw.random() < 0.1
    return lambda both: both.batch(writes, discard=discard)


def _get(draw: random.Random) -> Operation:
    key = _key(draw)
    return lambda both: both.get(key)


def _get_many(draw: random.Random) -> Operation:
    keys = [_key(draw) for _ in range(20)]
    return lambda both: both.get_many(keys)


def _scan(draw: random.Random) -> Operation:
    bounds = _bounds(draw)
    return lambda both: both.scan(bounds)


def _read_snapshot(draw: random.Random) -> Operation:
    index, bounds = draw.randrange(MOST_HANDLES), _bounds(draw)
    return lambda both: both.read_snapshot(index, bounds)


def _close_snapshot(draw: random.Random) -> Operation:
    index = draw.randrange(MOST_HANDLES)
    return lambda both: None if both.iterators else both.close_snapshot(index)


def _open_iterator(draw: random.Random) -> Operation:
    bounds, snapshot = _bounds(draw), draw.randrange(MOST_HANDLES) if draw.random() < 0.3 else None
    return lambda both: both.open_iterator(bounds, snapshot) if len(both.iterators) < MOST_HANDLES else None


def _move_iterator(draw: random.Random) -> Operation:
    moves: list[str | bytes] = [
        _key(draw) if draw.random() < 0.2 else draw.choice(["next", "prev", "first", "last"]) for _ in range(15)
    ]
    index = draw.randrange(MOST_HANDLES)
    return lambda both: both.move_iterator(index, moves)


def _close_iterator(draw: random.Random) -> Operation:
    index = draw.randrange(MOST_HANDLES)
    return lambda both: both.close_iterator(index)


def _compact(draw: random.Random) -> Operation:
    level, bounds = draw.randrange(7), _bounds(draw)
    if draw.random() < 0.3:
        return lambda both: both.compact_range(bounds.start, bounds.stop)
    return lambda both: both.compact_level(level, bounds.start, bounds.stop)


def _reopen(draw: random.Random) -> Operation:
    flush = draw.random() < 0.5
    return lambda both: both.reopen(flush=flush)
