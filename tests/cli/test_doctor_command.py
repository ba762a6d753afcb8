"""The command doctor: one line for each finding, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsmproc.doctor import examination
from lsmproc.doctor.judgement import Finding, Level

Run = Callable[..., Any]


def test_a_directory_for_a_store_is_judged(run: Run, tmp_path: Path) -> None:
    """As text and as JSON; nothing is made."""
    done = run("doctor", tmp_path / "store")
    assert (True, []) == (b"  file system: " in done.out, list(tmp_path.iterdir()))
    report = json.loads(run("doctor", tmp_path / "store", "--json", "--no-write").out)
    checks = [finding["check"] for finding in report["findings"]]
    assert (True, False) == ("memory" in checks, "fsync" in checks)


@pytest.mark.parametrize(("level", "code"), [("OK", 0), ("WARN", 0), ("BAD", 1)])
def test_the_exit_code_is_that_of_the_worst_finding(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, code: int
) -> None:
    """A warning is no failure."""
    findings = [Finding("memory", Level.OK, "much"), Finding("lock", Level(level), "held", "why", "do this")]
    monkeypatch.setattr(examination, "judge", lambda *_: findings)
    done = run("doctor", tmp_path)
    assert (code, True) == (
        done.code,
        f"{level:<5}lock: held\n     why\n     what to do: do this\n".encode() in done.out,
    )


def test_settings_are_those_of_the_store(run: Run, tmp_path: Path) -> None:
    """More open files than the limit allows are a warning."""
    done = run("doctor", tmp_path, "--no-write", "--set", "max_open_files=1000000")
    assert b"WARN open files: " in done.out
    assert 2 == run("doctor", tmp_path, "--set", "nonsense=1").code


def test_what_cannot_be_looked_at_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """A file where a directory belongs."""
    (tmp_path / "file").write_bytes(b"")
    done = run("doctor", tmp_path / "file")
    assert (2, 1) == (done.code, done.err.count("\n"))
