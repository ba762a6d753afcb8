"""The pytest plugin, in test suites of made-up users that run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYTEST = [sys.executable, "-m", "pytest", "-p", "lsmproc.testing.plugin", "-p", "no:cacheprovider", "-W", "error"]

CRASH_TESTS = """
import os
import lsmproc
import pytest
from lsmproc.testing.crash import CrashTestError


def fill(point, path, count):
    with lsmproc.open(path, memtable_max_bytes=2048) as db:
        for n in range(count):
            db.put(b"%05d" % n, b"x" * 50)
            point.acknowledge(n)
            point.reach("written")


def fail(point):
    raise ValueError("in the child")


def hang(point):
    point.reach("started")
    import threading
    threading.Event().wait()


@pytest.mark.parametrize("hits", [1, 37, 150])
def test_no_acknowledged_write_is_lost(lsm_crash, lsm_open, hits):
    crash = lsm_crash(fill, lsm_open.path("store"), 200, kill_at="written", hits=hits)
    assert crash.acknowledged == list(range(hits))
    assert crash.reached == {"written": hits}
    assert not crash.returned
    with lsm_open("store") as db:
        assert list(db) == [b"%05d" % n for n in range(hits)]


def test_a_child_that_is_killed_from_outside(lsm_crash):
    assert lsm_crash(hang, kill_after_seconds=0.05).reached == {"started": 1}


def test_a_moment_that_never_comes(lsm_crash, lsm_open):
    with pytest.raises(CrashTestError, match="ended before it reached 'else' 1 times.*'written' 3 times"):
        lsm_crash(fill, lsm_open.path(), 3, kill_at="else")


def test_what_the_function_raises(lsm_crash):
    with pytest.raises(CrashTestError, match="ValueError: in the child"):
        lsm_crash(fail, kill_at="x")


def test_a_child_that_hangs(lsm_crash):
    with pytest.raises(CrashTestError, match="still running after 0.3 s; it reached"):
        lsm_crash(hang, timeout=0.3)


def test_a_function_that_cannot_be_found(lsm_crash):
    with pytest.raises(TypeError, match="at the top of its module"):
        lsm_crash(lambda point: None)
"""

STORE_TESTS = """
import lsmproc


def test_store(lsm_store):
    lsm_store.put(b"a", b"1")
    assert lsm_store.get(b"a") == b"1"


def test_each_test_has_its_own(lsm_store):
    assert lsm_store.get(b"a") is None


def test_open_again(lsm_open):
    with lsm_open("x") as db:
        db.put(b"a", b"1")
    assert lsm_open("x", background="thread").get(b"a") == b"1"
"""

LEAKING_TESTS = """
import subprocess, sys, threading
import lsmproc

kept = []


def test_descriptors(lsm_no_leaks, tmp_path):
    kept.append(lsmproc.open(tmp_path, background="inline"))


def test_threads(lsm_no_leaks):
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, name="lsmproc-test", daemon=True).start()


def test_processes(lsm_no_leaks):
    kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))


def test_cleanup():
    kept[1].set()
    kept[0].close()
"""

FORGETFUL_TESTS = """
import lsmproc

kept = []


def test_without_fixtures(tmp_path):
    kept.append(lsmproc.open(tmp_path, background="inline"))


def test_cleanup():
    kept[0].close()
"""


def run_suite(folder: Path, text: str, *options: str) -> tuple[dict[str, int], str]:
    """How many tests ended how, and the output."""
    folder.mkdir(exist_ok=True)
    (folder / "test_users.py").write_text(text)
    done = subprocess.run(
        [*PYTEST, "--rootdir", folder, "--basetemp", folder / "tmp", *options, "test_users.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    words = done.stdout.strip().splitlines()[-1].strip("= ").split(" in ")[0].split(", ")
    return {word.split()[1]: int(word.split()[0]) for word in words}, done.stdout + done.stderr


def test_crash_tests_of_users_kill_reopen_and_compare(tmp_path: Path) -> None:
    """And each way in which a child does not die as planned fails the test with the reason."""
    counts, output = run_suite(tmp_path, CRASH_TESTS)
    assert {"passed": 8} == counts, output


def test_the_child_finds_a_test_module_that_is_on_no_path(tmp_path: Path) -> None:
    """As pytest imports it in the mode ``importlib``."""
    counts, output = run_suite(tmp_path, CRASH_TESTS, "--import-mode=importlib", "-k", "150")
    assert {"passed": 1, "deselected": 7} == counts, output


def test_stores_are_given_and_closed(tmp_path: Path) -> None:
    """An empty one for each test, or by name."""
    counts, output = run_suite(tmp_path, STORE_TESTS)
    assert {"passed": 3} == counts, output


def test_what_is_left_behind_fails_the_test_and_says_what_to_do(tmp_path: Path) -> None:
    """Descriptors, threads and processes, each by name; a test that does not ask is left alone."""
    counts, output = run_suite(tmp_path, LEAKING_TESTS)
    assert {"passed": 4, "errors": 3} == counts, output
    assert "a file of a store is still open: " in output
    assert ".wal (descriptor" in output
    assert "a thread still runs: lsmproc-test" in output
    assert "a child process still runs: " in output
    assert "close stores, snapshots and iterators in the test" in output


@pytest.mark.parametrize(
    ("where", "expected"), [("fixtures", {"passed": 2}), ("all", {"passed": 2, "error": 1}), ("off", {"passed": 2})]
)
def test_the_setting_looks_at_all_tests_or_none(where: str, expected: dict[str, int], tmp_path: Path) -> None:
    """Without it, at those that use the fixtures."""
    counts, output = run_suite(tmp_path, FORGETFUL_TESTS, "-o", f"lsmproc_leaks={where}")
    assert expected == counts, output


def test_pytest_finds_the_plugin_where_the_package_is_installed() -> None:
    """Through its entry point; ``-p no:lsmproc`` turns it off."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"lsmproc": "lsmproc.testing.plugin"} == project["entry-points"]["pytest11"]


def test_the_plugin_costs_nothing_where_no_test_asks_for_it() -> None:
    """It is loaded in every run of pytest, also of projects that only have lsmproc installed."""
    script = "import sys, pytest, lsmproc.testing.plugin; print([name for name in sys.modules if 'lsmproc' in name])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    expected = ["lsmproc", "lsmproc.testing", "lsmproc.testing.crash_child", "lsmproc.testing.plugin"]
    loaded = done.stdout
    assert all(repr(name) in loaded for name in expected)
    assert not any(name in loaded for name in ("lsmproc.store", "lsmproc.testing.leaks", "lsmproc.workers.spawn"))
