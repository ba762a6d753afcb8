"""``lsmproc.dbm`` in the places where a dbm module is expected."""

from __future__ import annotations

import importlib
import shelve
from pathlib import Path
from typing import Any

import pytest

import lsmproc
import lsmproc.dbm


def test_the_flags_mean_what_they_mean_in_dbm(tmp_path: Path) -> None:
    """``r`` and ``w`` want a database, ``c`` makes one, ``n`` begins anew, and ``r`` does not write."""
    path = str(tmp_path / "db")
    for flag in ("r", "w", "x", "cr"):
        with pytest.raises(lsmproc.dbm.error):
            lsmproc.dbm.open(path, flag)
    with lsmproc.dbm.open(path, "c") as db:
        db["key"] = "värde"
    with lsmproc.dbm.open(path) as db:
        assert "värde".encode() == db["key"] == db[b"key"] == db.get("key")
        with pytest.raises(lsmproc.dbm.error):
            db["key"] = "other"
    with lsmproc.dbm.open(path, "w") as db:
        del db["key"]
        assert "key" not in db
        db["other"] = b"1"
    with lsmproc.dbm.open(path, "n", 0o600) as db:
        assert [] == db.keys()


def test_it_is_the_mapping_that_dbm_modules_are(tmp_path: Path) -> None:
    """With gdbm's ways to walk over the keys."""
    with lsmproc.dbm.open(tmp_path / "db", "c", background="inline") as db:
        assert not db
        assert db.firstkey() is None
        assert b"" == db.setdefault("c")
        db.update({"a": "1", b"b": b"2"})
        walk, key = [], db.firstkey()
        while key is not None:
            walk.append(key)
            key = db.nextkey(key)
        assert [b"a", b"b", b"c"] == walk == db.keys() == list(db)
        assert 3 == len(db)
        assert b"2" == db.pop("b")
        with pytest.raises(KeyError):
            db["b"]
        with pytest.raises(TypeError):
            db[5]  # type: ignore[index]
        db.sync()
        db.reorganize()
        db.clear()
        assert [] == db.keys()


def test_a_closed_database_raises_the_modules_error(tmp_path: Path) -> None:
    """``except dbm.error`` is what programs write."""
    db: Any = lsmproc.dbm.open(tmp_path / "db", "c")
    db.close()
    db.close()
    for use in (db.keys, db.sync, lambda: db["a"], lambda: "a" in db, lambda: len(db), db.firstkey):
        with pytest.raises(lsmproc.dbm.error):
            use()


def test_a_shelf_keeps_objects_in_it(tmp_path: Path) -> None:
    """With writeback, which reads, keeps and writes everything back at the end."""
    with shelve.Shelf(lsmproc.dbm.open(str(tmp_path / "db"), "c"), writeback=True) as shelf:
        shelf["list"] = [1]
        shelf["list"].append((2, None))
        shelf.sync()
    with shelve.Shelf(lsmproc.dbm.open(str(tmp_path / "db"), "r")) as shelf:
        assert [1, (2, None)] == shelf["list"]
    with shelve.Shelf(lsmproc.dbm.open(str(tmp_path / "db"), "w")) as shelf:
        assert {"list": [1, (2, None)]} == dict(shelf)
        assert 1 == len(shelf)
        del shelf["list"]
        assert "list" not in shelf


def test_scrapys_cache_finds_what_it_asks_a_dbm_module_for(tmp_path: Path) -> None:
    """The name of a module in a setting, ``open(path, "c")``, text keys with bytes and text values, ``in``, close."""
    module: Any = importlib.import_module("lsmproc.dbm")  # HTTPCACHE_DBM_MODULE
    db = module.open(str(tmp_path / "spider.db"), "c")
    key = "0a1b2c"
    db[f"{key}_data"], db[f"{key}_time"] = b"\x80pickled", "1700000000.5"
    assert f"{key}_time" in db
    assert 1700000000.5 == float(db[f"{key}_time"])
    assert b"\x80pickled" == db[f"{key}_data"]
    db.close()


def test_the_real_scrapy_cache_stores_and_finds_a_response(tmp_path: Path) -> None:
    """Where Scrapy is installed."""
    pytest.importorskip("scrapy", reason="Scrapy is not installed")
    from scrapy.extensions.httpcache import DbmCacheStorage
    from scrapy.http import HtmlResponse, Request
    from scrapy.settings import Settings
    from scrapy.spiders import Spider
    from scrapy.utils.test import get_crawler

    settings = {"HTTPCACHE_DIR": str(tmp_path), "HTTPCACHE_DBM_MODULE": "lsmproc.dbm", "HTTPCACHE_EXPIRATION_SECS": 0}
    storage = DbmCacheStorage(Settings(settings))
    crawler = get_crawler(Spider)
    spider = crawler._create_spider("cached")
    storage.open_spider(spider)
    try:
        request = Request("http://localhost/a")
        assert storage.retrieve_response(spider, request) is None
        storage.store_response(spider, request, HtmlResponse("http://localhost/a", body=b"<p>kept</p>"))
        assert b"<p>kept</p>" == storage.retrieve_response(spider, request).body
    finally:
        storage.close_spider(spider)
