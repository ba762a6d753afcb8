"""The mapping over a store, against what others expect of any mapping."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from tests.compat.published_package import published_package
from tests.tally import Tally

ZICT = (
    "zict==3.0.0",
    "zict-3.0.0-py2.py3-none-any.whl",
    "5796e36bd0e0cc8cf0fbc1ace6a68912611c1dbd74750a3f3026b9b9d6a327ae",
)
ZICT_CHECKS = (
    "check_mapping",
    "check_different_keys_threadsafe",
    "check_same_key_threadsafe",
    "check_bad_key_types",
    "check_bad_value_types",
)


@pytest.fixture
def open_mapping(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a mapping over a new store each time."""
    stores: list[lsmproc.LSMStore] = []

    def open_one(**functions: Any) -> Any:
        store = lsmproc.open(tmp_path / str(len(stores)), background="inline", wal_sync="none")
        stores.append(store)
        return store.as_mapping(**functions)

    yield open_one
    for store in stores:
        store.close()


def _literal(value: bytes) -> Any:
    return ast.literal_eval(value.decode())


def test_cpythons_own_mapping_tests_pass(open_mapping: Callable[..., Any], tally: Tally) -> None:
    """They are what shelve and os.environ are held to."""
    try:
        protocol: Any = importlib.import_module("test.mapping_tests")
    except ImportError:
        tally.skip("mapping tests of CPython", 16, "the package test of the standard library is not installed")

    class OverAStore(protocol.BasicTestMappingProtocol):  # type: ignore[misc]
        def _empty_mapping(self) -> Any:
            text = {"encode": lambda key: repr(key).encode(), "decode": _literal}
            return open_mapping(encode_value=lambda value: repr(value).encode(), decode_value=_literal, **text)

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(OverAStore)
    result = unittest.TestResult()
    suite.run(result)
    assert ([], []) == (result.failures, result.errors)
    assert result.testsRun > 10
    tally.add("mapping tests of CPython", result.testsRun)


def test_the_contract_tests_of_zict_pass(tmp_path: Path, tally: Tally) -> None:
    """Dask's mappings are stacked on mappings that pass these; threads included."""
    wheel = published_package(*ZICT)
    if wheel is None:
        tally.skip("contract tests of zict", len(ZICT_CHECKS), "zict cannot be downloaded")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import lsmproc, zict.tests.utils_test as checks\n"
        "for number, name in enumerate(sys.argv[3:]):\n"
        "    with lsmproc.open(f'{sys.argv[2]}/{number}', background='inline') as db:\n"
        "        getattr(checks, name)(db.as_mapping(encode=str.encode, decode=bytes.decode))\n"
        "        print('passed', name)\n"
    )
    command = [sys.executable, "-c", script, wheel, tmp_path, *ZICT_CHECKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [f"passed {name}" for name in ZICT_CHECKS] == done.stdout.splitlines(), done.stderr
    tally.add("contract tests of zict", len(ZICT_CHECKS))


def test_keys_and_values_are_translated_both_ways(open_mapping: Callable[..., Any]) -> None:
    """Here numbers, so that order is that of the encoded keys, and JSON."""
    scores = open_mapping(
        encode=lambda number: number.to_bytes(4, "big"),
        decode=lambda key: int.from_bytes(key, "big"),
        encode_value=lambda value: json.dumps(value).encode(),
        decode_value=json.loads,
    )
    scores.update({300: ["c"], 2: {"b": 1}, 1: None})
    assert [1, 2, 300] == list(scores) == list(reversed(list(reversed(scores))))
    assert [(300, ["c"]), (2, {"b": 1}), (1, None)] == list(reversed(scores.items()))
    assert [None, {"b": 1}, ["c"]] == list(scores.values())
    assert (300, ["c"]) == scores.popitem()
    assert {2: {"b": 1}, 1: None} == scores


def test_a_loop_sees_one_state_whatever_is_written_meanwhile(open_mapping: Callable[..., Any]) -> None:
    """A dict would raise RuntimeError; a store has snapshots."""
    mapping = open_mapping()
    mapping.update({b"%d" % n: b"old" for n in range(5)})
    seen = []
    for key, value in mapping.items():
        seen.append(value)
        mapping[key] = mapping[key + b"x"] = b"new"
    assert [b"old"] * 5 == seen
    assert 10 == len(mapping)


def test_asking_for_a_bool_does_not_count(open_mapping: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """``if mapping:`` is written without a thought, and must not read a million keys."""
    mapping = open_mapping()
    monkeypatch.setattr(type(mapping), "__len__", lambda self: pytest.fail("counted"))
    assert not mapping
    mapping[b"a"] = b""
    assert mapping


def test_an_update_that_fails_has_written_whole_batches_or_nothing(open_mapping: Callable[..., Any]) -> None:
    """A generator that raises in the middle leaves no half of its records."""
    mapping = open_mapping()
    with pytest.raises(TypeError):
        mapping.update([(b"a", b"1"), (b"b", "text")])
    assert {} == mapping


def test_half_a_pair_of_functions_is_refused(open_mapping: Callable[..., Any]) -> None:
    """Keys that go in and never come out would be found much later."""
    with pytest.raises(TypeError, match="encode_value and decode_value are given together"):
        open_mapping(encode_value=str.encode)


def test_a_closed_store_is_no_missing_key(open_mapping: Callable[..., Any]) -> None:
    """Or a program would take it for empty."""
    mapping = open_mapping()
    mapping.store.close()
    with pytest.raises(lsmproc.ClosedError):
        mapping.get(b"a")
    with pytest.raises(lsmproc.ClosedError):
        bool(mapping)
