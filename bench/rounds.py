"""Runs the sessions: for each round and workload every system in turn, in an order that alternates.

So a slow minute of the machine meets all systems, and none always runs first.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from lsmproc.bench.child import command, environment
from lsmproc.bench.errors import SessionFailedError
from lsmproc.bench.process_tree import MemorySampler
from lsmproc.bench.settings import Settings
from lsmproc.bench.workloads import WORKLOADS

_SAMPLE_SECONDS = 0.02
_EXIT_SECONDS = 30.0

Tell = Callable[[str], None]


class Rounds:
    """All sessions of one run, in a directory of its own that is removed at the end."""

    def __init__(self, settings: Settings, systems: Sequence[str], directory: str | None, tell: Tell) -> None:
        self._settings = settings
        self._systems = tuple(systems)
        self._directory = Path(tempfile.mkdtemp(prefix="lsmproc-bench-", dir=directory))
        self._tell = tell
        self.failed: list[str] = []  # what became of sessions that gave no result
        self.described: dict[str, dict[str, Any]] = {}  # by system: version and settings

    def __enter__(self) -> Self:
        """The rounds themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the directory."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def load(self, workloads: Sequence[str]) -> None:
        """Make a loaded store of each system, or one of a single record if no workload needs it."""
        if all(WORKLOADS[workload].start == "empty" for workload in workloads):
            loading = replace(self._settings, num=1)
        else:
            loading = self._settings
        for system in self._systems:
            self._tell(f"load {system}")
            answer = self._run_session(system, "load", 0, self.loaded(system), loading)
            self.described[system] = {key: answer[key] for key in ("version", "settings")}

    def run(
        self,
        workloads: Sequence[str],
        rounds: int,
        done: AbstractSet[tuple[str, str, int]],
        progress: Callable[[int], str],
    ) -> Iterator[list[dict[str, Any]]]:
        """The results of all sessions, those of one round of one workload together.

        Those in ``done`` are left out; ``progress`` tells how far the run is after so many sessions. One that fails
        has no result, and is told of in ``failed``.
        """
        count = 0
        for number in range(rounds):
            for place, workload in enumerate(workloads):
                turn = (number + place) % 2
                results = []
                for system in reversed(self._systems) if turn else self._systems:
                    if (system, workload, number) in done:
                        continue
                    self._tell(f"round {number + 1} of {rounds}: {workload} {system}; {progress(count)}")
                    count += 1
                    place_of_work = str(self._directory / "work")
                    try:
                        result = self._run_session(system, workload, number, place_of_work, self._settings)
                    except SessionFailedError as error:
                        # One system that fails must not cost the figures of all others.
                        self._tell(f"FAILED: {error}")
                        self.failed.append(str(error))
                        continue
                    results.append({"system": system, "workload": workload, "round": number} | result)
                yield results

    def loaded(self, system: str) -> str:
        """Where the loaded store of a system is."""
        return str(self._directory / f"loaded-{system}")

    def _run_session(
        self, system: str, workload: str, number: int, directory: str, settings: Settings
    ) -> dict[str, Any]:
        Path(directory).mkdir(exist_ok=True)
        job = {
            "system": system,
            "workload": workload,
            "round": number,
            "settings": settings.to_json_dict(),
            "directory": directory,
            "loaded": self.loaded(system),
        }
        with _started(job) as process:
            try:
                return _watch(process, f"{workload} of {system}")
            finally:
                process.kill()
                process.wait(_EXIT_SECONDS)
                if workload != "load":
                    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _started(job: dict[str, Any]) -> Any:
    """A session's process with its job on its standard input."""
    with subprocess.Popen(
        command("session"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        process.stdin = None
        yield process


def _watch(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """Sample the memory of the session's processes until its result comes."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    errors: list[str] = []
    readers = [
        threading.Thread(target=_read_lines, args=(process.stdout, lines)),
        threading.Thread(target=lambda: errors.extend(process.stderr or ())),
    ]
    for reader in readers:
        reader.start()
    sampler = MemorySampler(process.pid)
    sampling = False
    result: dict[str, Any] = {}
    while True:
        if sampling:
            sampler.sample()
        try:
            line = lines.get(timeout=_SAMPLE_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            break
        message = json.loads(line)
        match message.pop("event"):
            case "begin":
                sampling = True
            case "end":
                sampler.sample(thorough=True)
                sampling = False
            case "result":
                result = message
    for reader in readers:
        reader.join(_EXIT_SECONDS)
    if process.wait(_EXIT_SECONDS) != 0 or not result:
        raise SessionFailedError(f"{name} failed:\n{''.join(errors)}".rstrip())
    if "usage" in result:
        result["usage"] |= {
            "peak_bytes": sampler.peak_bytes,
            "owner_peak_bytes": sampler.owner_peak_bytes,
            "proportional_peak_bytes": sampler.proportional_peak_bytes,
            "processes": sampler.process_count,
        }
    return result


def _read_lines(stream: Any, lines: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
