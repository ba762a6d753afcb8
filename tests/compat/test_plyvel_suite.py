"""plyvel's own tests, as released, on our module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.compat.published_package import published_package
from tests.tally import Tally

SDIST = ("plyvel==1.5.1", "plyvel-1.5.1.tar.gz", "3caf6009e4fc24fbf8712d3f5ef3da7e56495c26a488df2161218fc34e46019c")
TESTS = 54

# The tests that do not hold here, each with the words of its failure.
DEVIATIONS = {
    "test_comparator": "orders keys by their bytes only",  # the workers compare keys without Python code
}
ROOT_ONLY = {"test_open_read_only_dir"}  # fails with plyvel as well where permissions do not count


def test_plyvels_own_tests_pass_but_for_the_named_deviations(tmp_path: Path, tally: Tally) -> None:
    """A drop-in replacement is one for the tests of what it replaces."""
    sdist = published_package(*SDIST)
    if sdist is None:
        tally.skip("tests of plyvel", TESTS, "plyvel's source distribution cannot be downloaded")
    with tarfile.open(sdist) as archive:
        archive.extract("plyvel-1.5.1/test/test_plyvel.py", tmp_path, filter="data")
    report = tmp_path / "report.json"
    program = Path(__file__).with_name("run_plyvel_tests.py")
    done = subprocess.run(
        [*_without_privileges(), sys.executable, program, tmp_path / "plyvel-1.5.1/test/test_plyvel.py", report],
        env={**os.environ, "PYTHONPATH": str(program.parents[2]), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    outcomes: dict[str, str] = json.loads(report.read_text())
    expected = set(DEVIATIONS) | (ROOT_ONLY if os.geteuid() == 0 and not _without_privileges() else set())
    failed = {name: outcome for name, outcome in outcomes.items() if outcome != "passed"}
    assert expected == set(failed), failed
    assert all(words in failed[name] for name, words in DEVIATIONS.items()), failed
    assert TESTS == len(outcomes)
    tally.add("tests of plyvel", len(outcomes) - len(failed))


def _without_privileges() -> list[str]:
    """For root: what takes the right to ignore permissions away, where it is installed."""
    if os.geteuid() or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
