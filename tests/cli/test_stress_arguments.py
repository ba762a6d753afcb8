"""stress: a run that would test nothing is refused, or fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--episode", "99"), "make the episodes 0 to"),
        (("--episode", "-1"), "no count"),
        (("--owner-kills", "0"), "nothing to test"),
        (("--owner-kills", "-1"), "no count"),
        (("--worker-stops", "many"), "no count"),
        (("--seconds", "-1"), "no number of seconds"),
        (("--seconds", "nan"), "no number of seconds"),
        (("--seconds", "0"), "nothing to test"),
        (("--threads", "0"), "1 to 64 threads"),
        (("--threads", "1,x"), "no count"),
        (("--threads", ""), "no count"),
        (("--interval", "5:1"), "LOW:HIGH"),
        (("--interval", "-1:1"), "no number of seconds"),
        (("--interval", "1:"), "no number of seconds"),
        (("--sync", ""), "it knows none"),
        (("--options", "huge"), "it knows tiny"),
    ],
)
def test_numbers_that_test_nothing_are_refused_before_anything_is_made(
    run: Run, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    """A green run means that something was killed."""
    done = run("stress", "--dir", tmp_path / "rig", f"{options[0]}={options[1]}")
    assert (2, True, b"") == (done.code, complaint in done.err, done.out)
    assert not (tmp_path / "rig").exists()


def test_a_run_whose_time_is_up_before_its_first_cycle_fails(run: Run, tmp_path: Path) -> None:
    """Nothing is known then."""
    given = ("stress", "--dir", tmp_path / "rig", "--seconds", "0.000001", "--owner-kills", "1")
    done = run(*given)
    assert (1, True) == (done.code, b"FAILED: nothing was tested" in done.out)
    asked = run(*given, "--json")
    assert (1, True) == (asked.code, json.loads(asked.out)["failed"])
