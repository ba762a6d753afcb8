"""One owner, by whatever path: what the errors of locks, forks and copies tell a user to do."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lsmproc
from lsmproc import LockedError
from tests.tally import Tally
from tests.trouble.private_mounts import NAMESPACE, why_not

BIND_MOUNT = """
import os, subprocess, lsmproc
os.mkdir("mount")
os.symlink("store", "link")
with lsmproc.open("store", background="inline") as store:
    subprocess.run(["mount", "--bind", "store", "mount"], check=True)
    for path in ("mount", "link", "./mount/../store", os.path.abspath("mount")):
        try:
            lsmproc.open(path, background="inline")
        except lsmproc.LockedError as error:
            assert f"pid {os.getpid()} on" in error.owner, error
            assert "wait=" in str(error) and "open_follower" in str(error), error
        else:
            raise AssertionError(path)
lsmproc.open("mount", background="inline").close()
print("fine")
"""


def test_two_opens_are_found_out_through_any_alias(tmp_path: Path, tally: Tally) -> None:
    """A bind mount, a symbolic link, a relative path; the error says who has it and what to do."""
    if reason := why_not():
        tally.skip("aliases of a store by a bind mount", 1, reason)
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", BIND_MOUNT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(lsmproc.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("fine\n", "") == (done.stdout, done.stderr)
    tally.add("aliases of a store by a bind mount")


def test_an_opening_waits_for_the_owner_to_close(tmp_path: Path) -> None:
    """For as long as it is told to, and not longer."""
    first = lsmproc.open(tmp_path / "store", background="inline")
    with pytest.raises(LockedError):
        lsmproc.open(tmp_path / "store", background="inline", wait=0.05)
    closing = threading.Timer(0.1, first.close)
    closing.start()
    lsmproc.open(tmp_path / "store", background="inline", wait=20).close()
    closing.join()


def test_a_store_that_is_pickled_says_what_to_do(tmp_path: Path) -> None:
    """To write: open it there; to read: follow it."""
    with lsmproc.open(tmp_path / "store", background="inline") as store:
        with pytest.raises(TypeError, match=r"lsmproc\.open\(.*lsmproc\.open_follower"):
            pickle.dumps(store)
