"""What is no time to wait for is refused at once, not only by the call that has to wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc import LSMStore
from lsmproc.aio import wrap

OpenStore = Callable[..., LSMStore]

USES: dict[str, Callable[[LSMStore, Any], object]] = {
    "put": lambda s, seconds: s.put(b"a", b"1", timeout=seconds),
    "put synced": lambda s, seconds: s.put(b"a", b"1", sync=True, timeout=seconds),
    "delete": lambda s, seconds: s.delete(b"a", timeout=seconds),
    "write_batch": lambda s, seconds: s.write_batch(timeout=seconds),
    "prefixed put": lambda s, seconds: s.prefixed_db(b"p").put(b"a", b"1", timeout=seconds),
    "prefixed write_batch": lambda s, seconds: s.prefixed_db(b"p").write_batch(timeout=seconds),
    "flush_memtable": lambda s, seconds: s.flush_memtable(timeout=seconds),
    "compact_level": lambda s, seconds: s.compact_level(0, timeout=seconds),
    "compact_range": lambda s, seconds: s.compact_range(timeout=seconds),
    "checkpoint": lambda s, seconds: s.checkpoint(f"{s.path}-copy", timeout=seconds),
    "wait_idle": lambda s, seconds: s.wait_idle(seconds),
    "close": lambda s, seconds: s.close(timeout=seconds),
    "async close": lambda s, seconds: asyncio.run(wrap(s).close(timeout=seconds)),
    "Env.close": lambda s, seconds: s.env.close(seconds),
    "Subscription.close": lambda s, seconds: s.subscribe(id).close(seconds),
}


@pytest.mark.parametrize(
    ("seconds", "error"), [(-1, ValueError), (math.nan, ValueError), (-math.inf, ValueError), ("1", TypeError)]
)
@pytest.mark.parametrize("use", USES)
def test_what_is_no_timeout_is_refused_by_name(
    open_store: OpenStore, use: str, seconds: Any, error: type[Exception]
) -> None:
    """With nothing done: neither a write nor a close. ``True`` is no number either."""
    store = open_store()
    for wrong, expected in ((seconds, error), (True, TypeError)):
        with pytest.raises(expected, match="timeout"):
            USES[use](store, wrong)
    assert [] == list(store)
    store.put(b"b", b"2", timeout=0)
    store.flush_memtable(timeout=0)


@pytest.mark.parametrize("seconds", [0, 0.5, 10**400, math.inf])
def test_any_time_from_zero_on_is_one_to_wait_for(open_store: OpenStore, seconds: float) -> None:
    """Also one that the system cannot count."""
    store = open_store()
    store.put(b"a", b"1", timeout=seconds)
    store.compact_range(timeout=seconds)
    store.wait_idle(seconds)
    with store.subscribe(id) as subscription:
        subscription.close(seconds)
    store.close(timeout=seconds)


@pytest.mark.parametrize("name", ["wait", "lock_wait_seconds"])
@pytest.mark.parametrize(
    ("seconds", "error"), [("x", TypeError), (True, TypeError), (-1, ValueError), (math.nan, ValueError)]
)
def test_a_wait_for_the_lock_that_is_none_is_named_as_it_was_given(
    tmp_path: Path, name: str, seconds: Any, error: type[Exception]
) -> None:
    """And no directory is made."""
    with pytest.raises(error, match=f"^{name} "):
        lsmproc.open(tmp_path / "store", **{name: seconds})
    assert [] == list(tmp_path.iterdir())
