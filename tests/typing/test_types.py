"""The package's types, as the type checkers of its users see them."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from tests.tally import Tally

ROOT = Path(__file__).parents[2]
USES = Path(__file__).with_name("uses.py")

MYPY = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--follow-imports=silent"]


def pyright(*arguments: str) -> dict[str, Any]:
    """What it says, of this checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def needs_pyright(full: bool, tally: Tally) -> None:
    """It takes about 10 seconds of CPU time, so only the long form runs it."""
    if not full:
        tally.skip("symbols of the package with complete types", 1, "pyright takes long: pytest --full runs it")
    if importlib.util.find_spec("pyright") is None:
        tally.skip("symbols of the package with complete types", 1, "pyright is not installed")
    version = subprocess.run(
        [sys.executable, "-m", "pyright", "--version"], capture_output=True, timeout=100, check=False
    )
    if version.returncode:
        tally.skip("symbols of the package with complete types", 1, "pyright cannot download what it runs on")


def test_mypy_understands_programs_that_use_the_package(tmp_path: Path) -> None:
    """What each call returns, and that wrong calls are found: an ignore without an error is an error."""
    done = subprocess.run(
        [*MYPY, "--cache-dir", str(tmp_path), str(USES)],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (0, "Success: no issues found in 1 source file\n") == (done.returncode, done.stdout), done.stdout


@pytest.mark.usefixtures("needs_pyright")
def test_pyright_understands_programs_that_use_the_package() -> None:
    """The checker of most editors agrees with mypy."""
    assert [] == pyright(str(USES))["generalDiagnostics"]


@pytest.mark.usefixtures("needs_pyright")
def test_every_symbol_has_a_type_that_all_checkers_see_alike(tally: Tally) -> None:
    """Nothing is left for a checker to infer in its own way."""
    report = pyright("--verifytypes", "lsmproc", "--ignoreexternal")["typeCompleteness"]
    incomplete = [
        f"{each['name']}: {diagnostic['message']}"
        for each in report["symbols"]
        # A program, not an interface; and a class whose base is of a package that the checker does not look into.
        if not each["name"].startswith(("lsmproc.bench.", "lsmproc.metrics.prometheus."))
        for diagnostic in each["diagnostics"]
    ]
    assert [] == incomplete
    tally.add("symbols of the package with complete types", report["exportedSymbolCounts"]["withKnownType"])


def test_public_attributes_declare_their_types() -> None:
    """The quick part of what pyright checks: only what is a parameter as it is may leave its type to that."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: self.{name}"
        for folder in ("lsmproc", "workers")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "bench" not in path.parts
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for name, line in _undeclared(node)
    ]
    assert [] == found


def _undeclared(owner: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """Public attributes that are assigned in ``__init__`` and declared nowhere in the class."""
    declared = {node.target.id for node in owner.body if isinstance(node, ast.AnnAssign) and _is_name(node.target)}
    for node in ast.walk(owner):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            declared.add(node.target.attr)
    for method in owner.body:
        if not isinstance(method, ast.FunctionDef) or method.name != "__init__":
            continue
        arguments = {each.arg for each in (*method.args.args, *method.args.kwonlyargs)}
        for node in ast.walk(method):
            if isinstance(node, ast.Assign) and not (_is_name(node.value) and node.value.id in arguments):
                public = [each.attr for each in node.targets if _is_own(each) and not each.attr.startswith("_")]
                yield from ((name, node.lineno) for name in public if name not in declared)


def _is_own(node: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and _is_name(node.value) and node.value.id == "self"


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)
