"""Runs commands: in this process, with their output as text, or in another one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lsmproc.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: bytes
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; ``stdin`` is what it reads."""

    def run_command(*arguments: object, stdin: bytes = b"") -> Done:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as leaving:  # argparse, for a wrong option and for --help
                code = leaving.code
            out.flush()
        return Done(code, out.buffer.getvalue(), err.getvalue())

    return run_command


@pytest.fixture
def run_process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run a command in a process of its own, with a deadline of 60 s."""

    def run_command(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "lsmproc", *map(str, arguments)],
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
            **options,
        )

    return run_command
