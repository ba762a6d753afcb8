"""What the house rules look at: the checkout and its Python files."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout (or of an unpacked sdist)."""
    return ROOT


@pytest.fixture(scope="session")
def package_sources() -> dict[str, ast.Module]:
    """Every module of the package, parsed, by its path as imports see it: "lsmproc/store.py"."""
    return _parsed("lsmproc")


@pytest.fixture(scope="session")
def all_sources(package_sources: dict[str, ast.Module]) -> dict[str, ast.Module]:
    """Every Python file of the project, parsed, by its path."""
    return package_sources | _parsed("tests")


@pytest.fixture(scope="session")
def run_tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Python tool of this environment in the checkout, with its output as text and a deadline of 100 s."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def _parsed(folder: str) -> dict[str, ast.Module]:
    # os.walk because Path.rglob does not follow links such as lsmproc/workers.
    paths = [Path(top, name) for top, _, names in os.walk(ROOT / folder, followlinks=True) for name in names]
    sources = sorted(path for path in paths if path.suffix == ".py")
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes(), str(path)) for path in sources}
