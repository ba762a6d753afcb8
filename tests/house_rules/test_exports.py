"""What the package offers: every exported name exists, is documented and can be imported by itself."""

from __future__ import annotations

import ast
import importlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PUBLIC = (
    "lsmproc",
    "lsmproc.aio",
    "lsmproc.compat.plyvel",
    "lsmproc.config",
    "lsmproc.dbm",
    "lsmproc.errors",
    "lsmproc.testing",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_exported_member_exists_and_is_documented(name: str) -> None:
    """``__all__`` is a promise, and ``help()`` on each entry tells something."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [] == [member for member in exported if not hasattr(module, member)]
    members = [(member, getattr(module, member)) for member in exported]
    assert [] == [member for member, value in members if callable(value) and not value.__doc__]


def test_every_error_is_exported(package_sources: dict[str, ast.Module]) -> None:
    """A caller can name each error that it may have to catch."""
    classes = {node.name for node in package_sources["lsmproc/errors.py"].body if isinstance(node, ast.ClassDef)}
    assert classes == set(importlib.import_module("lsmproc.errors").__all__)


def test_the_modules_that_the_manual_names_need_no_import_of_their_own(
    run_tool: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """``lsmproc.metrics.serve(db)`` works after ``import lsmproc``, in a process that has loaded nothing else."""
    names = "lsmproc.metrics.serve, lsmproc.aio.open, lsmproc.dbm.open, lsmproc.config.Sources, lsmproc.testing"
    for name in names.split(", "):
        done = run_tool("-c", f"import lsmproc; {name}; assert {name.split('.')[1]!r} in dir(lsmproc)")
        assert (0, "") == (done.returncode, done.stdout)


def test_the_package_says_that_it_is_typed(root: Path) -> None:
    """Type checkers look at an installed package only if it carries this file."""
    assert (root / "lsmproc" / "py.typed").is_file()


def test_importing_the_package_starts_nothing(run_tool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """No work at import: no thread, no process, no further file, and not the optional packages."""
    program = (
        "import sys, threading, os; before = set(os.listdir('/dev/fd')) if os.path.isdir('/dev/fd') else set();"
        "import lsmproc, lsmproc.config;"
        "after = set(os.listdir('/dev/fd')) if before else set();"
        "assert before == after, (before, after);"
        "assert threading.active_count() == 1, threading.enumerate();"
        "heavy = {'rich', 'numpy', 'zstandard', 'plyvel', 'rocksdict', 'pytest'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = run_tool("-W", "error", "-c", program)
    assert (0, "") == (done.returncode, done.stdout)
