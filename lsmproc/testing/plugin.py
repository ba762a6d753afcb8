"""The plugin that pytest loads: the fixtures that ``lsmproc.testing`` describes.

Loaded in every run of pytest where lsmproc is installed, so it imports the rest only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lsmproc

if TYPE_CHECKING:
    from lsmproc.testing.crash import CrashRunner

_REMEDY = "close stores, snapshots and iterators in the test, or use them as context managers"


class StoreOpener:
    """Opens stores below one directory, and closes them after the test; the fixture ``lsm_open``."""

    def __init__(self, directory: Path, closing: ExitStack) -> None:
        """Stores are directories in ``directory``."""
        self._directory = directory
        self._closing = closing

    def path(self, name: str = "store") -> str:
        """Where the store of this name is."""
        return str(self._directory / name)

    def __call__(self, name: str = "store", **options: Any) -> lsmproc.LSMStore:
        """Open the store of this name, or make it; options are those of ``lsmproc.open``, the background is inline."""
        store = lsmproc.open(self.path(name), **{"background": "inline", **options})
        self._closing.callback(store.close)
        return store


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting ``lsmproc_leaks``."""
    parser.addini("lsmproc_leaks", "look for leaks of lsmproc: 'fixtures' (default), 'all' tests, or 'off'", default="")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the fixture around every test if the setting says so. First, so that it comes last in taking down."""
    where = config.getini("lsmproc_leaks") or "fixtures"
    if where not in {"fixtures", "all", "off"}:
        raise pytest.UsageError(f"lsmproc_leaks is 'fixtures', 'all' or 'off', not {where!r}")
    if where == "all":
        for item in items:
            if isinstance(item, pytest.Function) and "lsm_no_leaks" not in item.fixturenames:
                item.fixturenames.insert(0, "lsm_no_leaks")


@pytest.fixture
def lsm_no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child process, a thread of lsmproc or a descriptor of a store behind."""
    from lsmproc.testing.leaks import Leaks  # noqa: PLC0415 - see the module's docstring

    before = Leaks.now()
    yield
    if request.config.getini("lsmproc_leaks") != "off" and (found := before.found()):
        pytest.fail("\n".join(["the test left something behind:", *found, _REMEDY]), pytrace=False)


@pytest.fixture
def lsm_open(lsm_no_leaks: None, tmp_path: Path) -> Iterator[StoreOpener]:
    """``lsm_open("name", **options)`` opens a store below ``tmp_path``, and closes it after the test."""
    del lsm_no_leaks
    with ExitStack() as closing:
        yield StoreOpener(tmp_path, closing)


@pytest.fixture
def lsm_store(lsm_open: StoreOpener) -> lsmproc.LSMStore:
    """An empty store below ``tmp_path``, with its background inline."""
    return lsm_open()


@pytest.fixture
def lsm_crash(lsm_no_leaks: None, pytestconfig: pytest.Config) -> CrashRunner:
    """Runs a function of the test module in a child process and kills it at a moment; see CrashRunner."""
    from lsmproc.testing.crash import CrashRunner  # noqa: PLC0415 - see the module's docstring

    del lsm_no_leaks
    return CrashRunner(str(pytestconfig.rootpath))
