"""Experiment: the memory of a store that is open and does nothing, and what of it is index, filters and caches."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

import lsmproc
from lsmproc.bench.beyond.experiment import IDLE_SECONDS, Answer, store_options
from lsmproc.bench.process_tree import tree_bytes
from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings
from lsmproc.storage.row_cache import RowCache
from lsmproc.storage.table_index import IndexPartition
from lsmproc.storage.table_reader import BlockTableReader

_EVERY = 10  # one record in so many is read: more than one of each block


def idle(settings: Settings, directory: str) -> Answer:
    """Bytes beyond those before the open: after the open, and after reads that load every index and fill the caches."""
    maker = RecordMaker(settings, settings.seed)
    with lsmproc.open(directory, **store_options(settings) | {"create_if_missing": False}) as warm:
        warm.wait_idle(IDLE_SECONDS)  # imports everything, and finishes what was left to do
    gc.collect()
    before = tree_bytes()
    with lsmproc.open(directory, **store_options(settings)) as db:
        db.wait_idle(IDLE_SECONDS)
        opened = tree_bytes()
        get = db.get
        for key in maker.keys(range(0, settings.num, _EVERY)):
            get(key)
        gc.collect()
        stats = db.stats()
        answer = {
            "before_bytes": before,
            "opened_bytes": opened - before,
            "read_bytes": tree_bytes() - before,
            "block_cache_bytes": stats.block_cache.bytes,
            "block_cache_limit_bytes": stats.block_cache.limit_bytes,
            "tables": len(db.live_files()),
            "levels": sum(1 for level in stats.levels if level.files),
            "table_bytes": sum(file.size for file in db.live_files()),
        }
        return answer | _counted(gc.get_objects())


def _counted(objects: Iterable[Any]) -> Answer:
    """Bytes of all indexes, filters and cached rows, as the interpreter sizes them."""
    index = filters = rows = 0
    for each in objects:
        # The type itself: a proxy's isinstance() may run code.
        kind = type(each)
        if kind is IndexPartition:
            index += _list_bytes(each.last_keys) + _list_bytes(each.offsets)
            index += sys.getsizeof(each.slots.blocks) + sys.getsizeof(each.slots.hit)
        elif kind is BlockTableReader:
            words, _count = each.filter
            filters += words.nbytes if isinstance(words, memoryview) else sys.getsizeof(words)
        elif kind is RowCache:
            found = dict(each.rows)
            rows += sys.getsizeof(found) + sum(map(sys.getsizeof, found)) + sum(map(sys.getsizeof, found.values()))
    return {"index_bytes": index, "filter_bytes": filters, "row_cache_bytes": rows}


def _list_bytes(items: list[Any]) -> int:
    return sys.getsizeof(items) + sum(map(sys.getsizeof, items))
