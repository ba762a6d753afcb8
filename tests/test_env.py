"""What stores share: nothing starts before it is needed, and everything ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import lsmproc
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import ConfigError


@pytest.mark.parametrize("background", ["process", "thread", "inline"])
def test_an_env_that_no_store_needs_starts_nothing(background: str) -> None:
    """No thread and no process; closing twice does no harm."""
    before = set(threading.enumerate())
    with Env(background=background) as env:  # type: ignore[arg-type]
        assert background == env.kind
        assert before == set(threading.enumerate())
    env.close()


def test_an_unknown_background_is_refused_by_name() -> None:
    """With the choices."""
    with pytest.raises(ConfigError, match="'process', 'thread' or 'inline'"):
        Env(background="greenlet")  # type: ignore[arg-type]


def test_stores_share_the_cache_and_the_files_of_one_env(tmp_path: Path) -> None:
    """The budget is the Env's, and a store that closes leaves the others alone."""
    with Env(background="inline", block_cache_bytes=1 << 20) as env:
        stores = [lsmproc.open(tmp_path / str(number), env=env) for number in range(3)]
        for number, db in enumerate(stores):
            db.put(b"key", b"%d" % number)
            db.flush_memtable()
        stores[0].close()
        assert [b"1", b"2"] == [db.get(b"key") for db in stores[1:]]
        assert all(db.env is env for db in stores)
        for db in stores:
            db.close()


def test_a_private_env_has_the_options_of_its_store(tmp_path: Path) -> None:
    """What Env.of takes from the configuration."""
    config = LSMConfig(data_dir=tmp_path, background="inline", compaction_workers=3, flush_workers=2)
    with Env.of(config) as env:
        assert ("inline", 3, 2) == (env.kind, env.compaction_workers, env.flush_workers)
