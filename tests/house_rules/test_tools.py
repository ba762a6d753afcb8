"""The tools decide taste: ruff, the formatter, mypy and import-linter find nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


def test_ruff_finds_nothing(run_tool: Tool) -> None:
    """All rules are on; each exception is explained in pyproject.toml."""
    _assert_clean(run_tool("-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."))


def test_the_formatter_would_change_nothing(run_tool: Tool) -> None:
    """Nobody argues about layout."""
    _assert_clean(run_tool("-m", "ruff", "format", "--no-cache", "--check", "."))


def test_mypy_finds_nothing_in_strict_mode(run_tool: Tool, tmp_path: Path) -> None:
    """The package tells its users types, so they must be true."""
    _assert_clean(run_tool("-m", "mypy", "--cache-dir", str(tmp_path)))


def test_every_import_points_down_the_layers(run_tool: Tool) -> None:
    """The contracts in pyproject.toml hold, for direct and indirect imports."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    _assert_clean(run_tool("-c", program))


def _assert_clean(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        pytest.fail(done.stdout, pytrace=False)
