"""Every workload runs over every system that is installed, and its result holds what the report needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsmproc.bench import session
from lsmproc.bench.session import Session
from lsmproc.bench.settings import Settings
from lsmproc.bench.systems import NAMES, installed, opener
from lsmproc.bench.systems.system import StoreOptions
from lsmproc.bench.workloads import WORKLOADS

TINY = Settings(num=200, write_buffer_bytes=1 << 14, background="inline")
SYSTEMS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed"))
    for name in NAMES
]


@pytest.fixture(autouse=True)
def _small_heap() -> Iterator[None]:
    """Each pass collects garbage first; the test runner's own objects need not be looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_each_workload_gives_a_rate_and_latencies(tmp_path: Path) -> None:
    """One that fails, or that measures nothing, would only be found out in the middle of a long run."""
    _run_all("lsmproc", tuple(WORKLOADS), tmp_path)


@pytest.mark.parametrize("system", SYSTEMS[1:])
def test_each_peer_runs_one_workload_of_each_kind(system: str, tmp_path: Path) -> None:
    """What the others do with a store, these do too."""
    _run_all(system, ("fillsync8", "deleterandom", "multireadrandom", "readwhilecompacting"), tmp_path)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_gives_back_what_was_put(system: str, tmp_path: Path) -> None:
    """An adapter that drops or reorders records would make a system look fast."""
    store = opener(system)(str(tmp_path / "store"), StoreOptions.of(TINY))
    records = [(b"%03d" % number, b"value %d" % number) for number in range(100)]
    store.write(records[1:])
    store.put(*records[0])
    store.delete(b"050")
    kept = [record for record in records if record[0] != b"050"]
    assert kept == list(store.scan())
    assert kept[::-1] == list(store.scan(reverse=True))
    assert kept[20:30] == store.seek(b"020", 10)
    assert (b"value 7", None) == (store.get(b"007"), store.get(b"050"))
    store.close()


def test_a_reopened_rocksdb_still_has_its_settings(tmp_path: Path) -> None:
    """It once came back without its filter and with a cache of 8 MiB, and looked slow."""
    pytest.importorskip("rocksdict")
    for _ in range(2):
        store: Any = opener("rocksdict")(str(tmp_path / "store"), StoreOptions.of(TINY))
        assert str(TINY.cache_bytes) == store._db.property_value("rocksdb.block-cache-capacity")
        store.close()


@pytest.mark.parametrize("name", ["fillrandom", "readrandom", "fillbatch"])
def test_several_threads_share_the_operations(name: str, tmp_path: Path) -> None:
    """The count stays what was asked for, whatever the number of threads."""
    settings = replace(TINY, threads=3)
    loaded = tmp_path / "loaded"
    session.load("lsmproc", settings, str(loaded))
    result = Session("lsmproc", WORKLOADS[name], settings, str(tmp_path), str(loaded)).run(seed=1)
    assert TINY.num == result["whole"]["operations"]


def _run_all(system: str, workloads: tuple[str, ...], folder: Path) -> None:
    loaded = folder / "loaded"
    loaded.mkdir()
    described = session.load(system, TINY, str(loaded))
    assert {"version", "settings"} == described.keys()
    silent = []
    for name in workloads:
        workload = WORKLOADS[name]
        result = Session(system, workload, TINY, str(folder), str(loaded)).run(seed=1)
        if not (result["whole"]["operations"] and result["whole"]["seconds"] and result["each"]["latency"]):
            silent.append(name)
        assert workload.writes == (result["whole"]["done_seconds"] is not None)
    assert [] == silent
    assert ["loaded"] == [path.name for path in folder.iterdir()]
