"""The other versions of Python that this package says it runs on, where this machine has them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tally import Tally

ROOT = Path(__file__).parents[2]
SECONDS = 900.0


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_workers_and_host_programs_on_another_python(version: str, tmp_path: Path, tally: Tally, full: bool) -> None:
    """What depends on the interpreter: how processes start, fork and end, and how programs embed a store."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("this is the Python of this run")
    if not full:
        tally.skip("other versions of Python", 1, "it makes a virtual environment; pytest --full does it")
    python = found(version)
    if python is None:
        tally.skip("other versions of Python", 1, f"there is no python{version} here")
    _run(python, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "-e", f"{ROOT}[test]")
    tests = ["tests/hosts", "tests/workers", "tests/store", "tests/test_env.py"]
    _run(python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *tests)
    tally.add("other versions of Python")


def found(version: str) -> Path | None:
    """On the path, or beside the running one as pyenv has them."""
    if (on_path := shutil.which(f"python{version}")) and _is(version, Path(on_path)):
        return Path(on_path)
    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python3"))
    return beside[-1] if beside else None


def _is(version: str, python: Path) -> bool:
    """Whether it starts, and as that version: a manager's stand-in may know of no such version here."""
    asked = subprocess.run([python, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False)
    return asked.returncode == 0 and asked.stdout.startswith(f"Python {version}.")


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(each) for each in command], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert 0 == done.returncode, (done.stdout + done.stderr)[-4000:]
