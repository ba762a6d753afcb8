"""Ctrl-C and SIGTERM reach a whole process group, at any moment: Python's meaning stays, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path
from random import Random

import pytest

import lsmproc
from tests.tally import Tally
from tests.trouble.ledger import SMALL, until
from tests.trouble.scenario_process import ROOT
from tests.trouble.signalled_owner import ACKNOWLEDGED_EVERY, records


def end_by(number: signal.Signals, path: Path, seconds: float) -> tuple[int, list[str], str]:
    """Send a signal to the group of a writing program after so long; its return code and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.trouble.signalled_owner", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # What readline took ahead would be missing below.
        start_new_session=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # The signal is for a store at work, not for a program that starts.
    threading.Event().wait(seconds)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=20)
    until(lambda: not _group_lives(process.pid), 5, "the workers have left")
    return process.returncode, (first + output).decode().split(), errors.decode()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_a_signal_to_the_group_loses_nothing_that_was_acknowledged(
    tmp_path: Path, number: signal.Signals, full: bool, tally: Tally
) -> None:
    """An interrupt is a KeyboardInterrupt in the owner and nothing in its workers; SIGTERM ends it, and them."""
    cycles = 50 if full else 6
    random = Random(number)
    for cycle in range(cycles):
        path = tmp_path / str(cycle)
        code, said, errors = end_by(number, path, random.random() * (0.6 if full else 0.3))
        assert "" == errors
        if number is signal.SIGINT:
            assert (0, "interrupted") == (code, said[-2])
        else:
            assert -number == code
        acknowledged = int(said[-1])
        # At most the ten writes since the last line, and the one that the signal fell into.
        written = list(islice(records(), acknowledged + ACKNOWLEDGED_EVERY + 1))
        with lsmproc.open(path, background="inline", **SMALL) as db:
            found = dict(db.range())
        # Every key is written once: the store holds all that was acknowledged, and a prefix of what came after.
        assert dict(written[: len(found)]) == found, f"cycle {cycle}: {len(found)} of {acknowledged} or a few more"
        assert acknowledged <= len(found)
    tally.add(f"groups ended by {number.name}", cycles)
