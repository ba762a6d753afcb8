"""A store at work, with a figure in every part of its stats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lsmproc


@pytest.fixture
def store(tmp_path: Path) -> Iterator[lsmproc.LSMStore]:
    """Reads, writes, flushes and compactions behind it, and a rate limit that nothing reaches."""
    options = {"background": "thread", "rate_limit_bytes_per_sec": 1 << 30, "row_cache_bytes": 1 << 20}
    with lsmproc.open(tmp_path / 'a "store"', **options) as opened:
        for number in range(200):
            opened.put(b"%03d" % number, b"v" * 100)
        opened.compact_range(timeout=20.0)
        opened.get(b"100")
        opened.get(b"100")
        opened.get_many([b"101", b"x"])
        assert 200 == len(list(opened.range()))
        with opened.snapshot():
            yield opened
