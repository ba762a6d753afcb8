"""A program frozen into one file with PyInstaller: ``sys.executable`` is the program itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.conftest import DEADLINE_SECONDS, StartHost
from tests.tally import Tally

PROGRAM = """
import multiprocessing
import sys
from store_work import work_in

if __name__ == "__main__":
    multiprocessing.freeze_support()
    print(work_in(sys.argv[1]))
"""

BUILD_SECONDS = 240.0


@pytest.mark.timeout(300)
def test_a_one_file_program_starts_its_workers(
    start_host: StartHost,
    needs: Callable[[str], None],
    host_environment: dict[str, str],
    tmp_path: Path,
    tally: Tally,
    full: bool,
) -> None:
    """With the line that multiprocessing asks of every frozen program, and no other."""
    needs("PyInstaller")
    if not full:
        tally.skip("programs frozen into one file", 1, "building one takes long; pytest --full does it")
    (tmp_path / "program.py").write_text(PROGRAM)
    build = start_host(
        "-m", "PyInstaller", "--onefile", "--log-level", "ERROR", "--collect-submodules", "lsmproc", "program.py"
    )
    _, errors = build.communicate(timeout=BUILD_SECONDS)
    assert 0 == build.returncode, errors
    finished = subprocess.run(
        [tmp_path / "dist" / "program", "store"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (0, "compaction,flush\n", "") == (finished.returncode, finished.stdout, finished.stderr)
    tally.add("programs frozen into one file")
