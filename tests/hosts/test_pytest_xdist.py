"""Stores in the tests of another project, spread over processes by pytest-xdist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.hosts.conftest import DEADLINE_SECONDS, StartHost
from tests.tally import Tally

THEIR_TESTS = """
import psutil
import pytest
from store_work import work_in


@pytest.mark.parametrize("number", range(4))
def test_store(tmp_path, number):
    assert "compaction,flush" == work_in(tmp_path / "store")
    assert [] == psutil.Process().children()
"""


def test_stores_in_a_distributed_test_run(
    start_host: StartHost, needs: Callable[[str], None], tmp_path: Path, tally: Tally
) -> None:
    """Two processes of pytest, each with stores one after the other; nothing is left between the tests."""
    needs("xdist")
    (tmp_path / "test_theirs.py").write_text(THEIR_TESTS)
    host = start_host("-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-W", "error", "test_theirs.py")
    output, errors = host.communicate(timeout=DEADLINE_SECONDS)
    assert 0 == host.returncode, output + errors
    assert "4 passed" in output
    tally.add("host programs")
