"""The README's commands, the links and the top level are what the documents say."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "DURABILITY.md",
    "LICENSE",
    "MIGRATION.md",
    "README.md",
    "SECURITY.md",
    "bench",
    "configs",
    "docs",
    "lsmproc",
    "pyproject.toml",
    "tests",
    "workers",
}


def test_the_readme_has_two_commands_of_one_line_that_make_their_own_environment(root: Path) -> None:
    """First the demonstration, then the tests; both start from nothing but git and Python."""
    demo, tests = _readme_commands(root)
    assert demo.startswith("python3 -m venv .venv && ")
    assert demo.endswith(".venv/bin/python -m lsmproc demo")
    assert tests.startswith("python3 -m venv .venv && ")
    assert tests.endswith(".venv/bin/python -m pytest -n 2 --dist worksteal")


def test_no_command_of_the_readme_depends_on_where_the_clone_is(root: Path) -> None:
    """A folder with a space in its path is no special case when every path is relative."""
    assert [] == [command for command in _readme_commands(root) if re.search(r"(?<![\w.])[~/]|\$", command)]


def test_continuous_integration_runs_the_readmes_test_command(root: Path) -> None:
    """What a contributor runs and what decides about the change are one line."""
    script = root / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert [_readme_commands(root)[1]] == commands
    assert os.access(script, os.X_OK)


def test_each_extra_in_a_command_is_defined(root: Path) -> None:
    """An unknown extra only makes pip warn, and the command then fails later."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {name for command in _readme_commands(root) for name in re.search(r"\[(.+?)\]", command)[1].split(",")}
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize("name", ["workers", "configs", "bench"])
def test_the_links_of_a_clone_lead_to_the_top_level(root: Path, name: str) -> None:
    """A link that git wrote out as a text file, or that became a copy, would split one folder in two."""
    if not (root / ".git").exists():
        pytest.skip("an sdist holds files instead of links")
    assert Path("..", name) == (root / "lsmproc" / name).readlink()


def test_nothing_else_lies_at_the_top_level(root: Path) -> None:
    """The top level is fixed; whatever a tool leaves there has a dot or is ignored by git."""
    found = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}
    assert TOP_LEVEL == found - {"build", "dist", "PKG-INFO", "__pycache__"}


def test_the_changelog_begins_with_what_is_unreleased(root: Path) -> None:
    """There is always a place for the next line."""
    headings = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert "[Unreleased]" == headings[0]


def _readme_commands(root: Path) -> list[str]:
    return re.findall(r"^```(?:sh|bash|console|shell)\n(.+)\n```$", (root / "README.md").read_text(), re.MULTILINE)
