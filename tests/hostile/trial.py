"""Runs hostile cases in processes of their own, where memory can be measured and a crash ends nothing else.

``run_apart`` runs many cases of one target in one process, ``run_each_apart`` one case of each of many targets in a
process for each. A broken rule is named with the seed of the case: another exception than CorruptionError (ConfigError
for settings), more than two seconds of the processor, too much memory, or no end.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lsmproc.errors import ConfigError, CorruptionError

MAX_SECONDS = 2.0
ALARM_SECONDS = 30  # A case that never ends is interrupted, so that its seed is known.
MAX_MEBIBYTES = 64
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What became of the cases of a target."""

    accepted: int
    refused: int
    mebibytes: float  # by which memory grew at most
    slowest: float  # seconds


def run_apart(target: str, seed: int, count: int) -> Outcome:
    """Run ``count`` cases of a target in a child process; fails with what the child said."""
    return Outcome(**_child("many", [target, seed, count]))


def run_each_apart(targets: list[str]) -> dict[str, Outcome]:
    """Run one case of each target, each in a process that has done nothing else."""
    return {target: Outcome(**outcome) for target, outcome in _child("each", targets).items()}


def _child(mode: str, arguments: list[Any]) -> Any:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.hostile.trial", mode, json.dumps(arguments)],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert 0 == done.returncode, f"{arguments}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def run_here(make: Callable[[], Callable[[Random], bool]], seed: int, count: int, warm_ups: int) -> Outcome:
    """Run cases in this process; raises what a case raises, with its seed."""
    case = make()
    accepted, slowest = 0, 0.0
    for warm_up in range(warm_ups):
        _one(case, f"warm-up {warm_up}")
    gc.collect()
    before = _peak_mebibytes()
    for number in range(seed, seed + count):
        took, taken = _one(case, str(number))
        accepted += taken
        slowest = max(slowest, took)
        assert took < MAX_SECONDS, f"seed {number} took {took:.1f} s"
        assert (grown := _peak_mebibytes() - before) < MAX_MEBIBYTES, f"seed {number} took {grown:.0f} MiB"
    return Outcome(accepted, count - accepted, round(_peak_mebibytes() - before, 1), round(slowest, 3))


def _one(case: Callable[[Random], bool], seed: str) -> tuple[float, bool]:
    began = time.process_time()
    signal.alarm(ALARM_SECONDS)
    try:
        taken = case(Random(seed))
    except (CorruptionError, ConfigError):
        taken = False
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    return time.process_time() - began, taken


def _too_long(*_: object) -> None:
    raise TimeoutError("the case does not end")


def _peak_mebibytes() -> float:
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _each(targets: list[str]) -> dict[str, Any]:
    """One forked process for each: what one took is not counted for the next."""
    from tests.hostile.targets import TARGETS

    outcomes = {}
    for target in targets:
        read_fd, write_fd = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.write(write_fd, json.dumps(run_here(TARGETS[target], 0, 1, 0).__dict__).encode())
                code = 0
            except BaseException:  # noqa: BLE001 - the traceback is all that a child can leave.
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(write_fd)
        with open(read_fd, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        assert status == 0, f"{target}: wait status {status}"
        outcomes[target] = json.loads(said)
    return outcomes


def main(mode: str, arguments: str) -> None:
    """The child's side."""
    from tests.hostile.targets import TARGETS

    signal.signal(signal.SIGALRM, _too_long)
    if mode == "each":
        outcome = _each(json.loads(arguments))
    else:
        target, seed, count = json.loads(arguments)
        outcome = run_here(TARGETS[target], seed, count, 3).__dict__
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
