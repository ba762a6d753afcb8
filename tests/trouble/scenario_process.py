"""Runs a scenario, a function of a module beside this one, in a process of its own.

A scenario may ruin its process: limits, closed descriptors, mounts, signals. It says what it found out by returning
something that JSON can hold, and that something does not hold by an AssertionError, which fails the test.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_RESULT = "result of the scenario: "


def run_scenario(
    name: str, directory: Path, *arguments: Any, behind: Sequence[str] = (), timeout: float = 100.0
) -> Any:
    """What ``module.function(directory, *arguments)`` returned in a process of its own, started by ``behind``.

    Whatever the scenario prints that looks like an unexpected exception fails the test as well.
    """
    command = [*behind, sys.executable, "-m", __name__, name, str(directory), json.dumps(arguments)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)  # faulthandler tells where it hangs
        output, errors = process.communicate(timeout=10)
        raise AssertionError(f"{name} did not end within {timeout:g} s:\n{errors[-6000:]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, f"{name}{arguments} ended with {process.returncode}:\n{errors[-6000:]}"
    assert "Traceback" not in errors, errors[-6000:]
    results = [line.removeprefix(_RESULT) for line in output.splitlines() if line.startswith(_RESULT)]
    return json.loads(results[-1])


def main() -> None:
    """Run the scenario that the command line names."""
    name, directory, arguments = sys.argv[1:]
    module, _, function = name.rpartition(".")
    scenario = getattr(importlib.import_module(f"tests.trouble.{module}"), function)
    result = scenario(Path(directory), *json.loads(arguments))
    sys.stdout.write(_RESULT + json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    import faulthandler

    faulthandler.enable()
    main()
