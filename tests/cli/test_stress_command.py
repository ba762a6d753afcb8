"""``lsmproc stress`` as a process: what a signal to it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_its_report_and_no_process(tmp_path: Path, number: int) -> None:
    """In the middle of a cycle, whose owner process and workers end as well."""
    run = subprocess.Popen(
        [sys.executable, "-m", "lsmproc", "stress", "--owner-kills", "1000", "--dir", str(tmp_path / "stress")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert run.stdout is not None
    first_lines = [run.stdout.readline() for _ in range(3)]
    assert "OK" in first_lines[-1]
    company = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    rest, _ = run.communicate(timeout=30)
    assert 130 == run.returncode
    assert "acknowledged operations" in rest
    assert [] == psutil.wait_procs(company, timeout=5)[1]
