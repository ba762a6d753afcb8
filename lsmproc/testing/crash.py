"""The parent of a crash test: starts the child, listens to it until it is dead, and says what it did."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lsmproc.testing.crash_child import run_child
from lsmproc.workers.spawn import SpawnedProcess, pipe_above_stderr

_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Crash:
    """What a child did before it died."""

    acknowledged: list[Any] = field(default_factory=list)  # in order
    reached: Counter[str] = field(default_factory=Counter)  # how often, by moment
    returned: bool = False  # whether the function came to its end
    raised: str = ""  # the traceback of what it raised


class CrashTestError(AssertionError):
    """The child did not die as planned: it raised, returned before the moment, or took too long."""


class CrashRunner:
    """Runs functions in child processes that are killed; the fixture ``lsm_crash``."""

    def __init__(self, root: str) -> None:
        """Functions are found again from ``root`` as well, the directory of the tests."""
        self._root = root

    def __call__(
        self,
        function: Callable[..., object],
        *arguments: Any,
        kill_at: str | None = None,
        hits: int = 1,
        kill_after_seconds: float | None = None,
        timeout: float = 60.0,
    ) -> Crash:
        """Run ``function(point, *arguments)`` in a child process and kill that; see CrashPoint for ``point``.

        Args:
            function: one at the top of a module, so that the child can import it.
            *arguments: plain values and paths.
            kill_at: the moment, as ``point.reach`` names it, at which the child dies.
            hits: at which time that it is reached.
            kill_after_seconds: kill it that long after it has reached or acknowledged anything, wherever it is. With
                neither of the two the function runs to its end, and the process then ends without closing anything.
            timeout: seconds after which the child is killed and the test fails.

        Raises:
            CrashTestError: the function raised, returned before it was to be killed, or took longer than ``timeout``.
            TypeError: the function or an argument cannot be found again in another process.
        """
        made: list[int] = []
        read_fd, write_fd = pipe_above_stderr(made)
        child = None
        try:
            child = self._start(function, (function, arguments, write_fd, kill_at, hits), write_fd)
            os.close(write_fd)
            made.remove(write_fd)
            crash, killed = _listen(child, read_fd, kill_after_seconds, time.monotonic() + timeout)
        finally:
            for fd in made:
                os.close(fd)
            if child is not None:
                child.kill()
                child.close(timeout=10)
        _check(crash, killed=killed, kill_at=kill_at, hits=hits, after=kill_after_seconds, timeout=timeout)
        return crash

    def _start(self, function: Callable[..., object], arguments: tuple[Any, ...], fd: int) -> SpawnedProcess:
        name = getattr(function, "__qualname__", repr(function))
        if "<locals>" in name or "<lambda>" in name:
            raise TypeError(f"{name} cannot be found in another process: define it at the top of its module")
        with _on_path(self._root):
            return SpawnedProcess(f"crash test of {name}", run_child, arguments, [fd])


@contextmanager
def _on_path(directory: str) -> Iterator[None]:
    """The child takes over ``sys.path``: pytest may have imported the test module without a place in it."""
    sys.path.append(directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


def _listen(child: SpawnedProcess, fd: int, after: float | None, deadline: float) -> tuple[Crash, bool]:
    """Read what the child tells until its end; whether it was killed here, for time."""
    crash, rest, killed = Crash(), b"", False
    kill_time = deadline
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        if not killed and not poll.poll(max(0.0, kill_time - time.monotonic()) * 1000):
            killed = True
            child.kill()
        data = os.read(fd, _READ_BYTES)
        if not data:
            return crash, killed and kill_time == deadline
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _note(crash, *json.loads(line))
        if after is not None and kill_time == deadline:
            kill_time = min(deadline, time.monotonic() + after)


def _note(crash: Crash, kind: str, what: Any) -> None:
    match kind:
        case "acknowledged":
            crash.acknowledged.append(what)
        case "reached":
            crash.reached[what] += 1
        case "raised":
            crash.raised = what
        case "returned":
            crash.returned = True


def _check(crash: Crash, *, killed: bool, kill_at: str | None, hits: int, after: float | None, timeout: float) -> None:
    if crash.raised:
        raise CrashTestError(f"the function raised in the child process:\n{crash.raised}")
    if killed:
        raise CrashTestError(f"the child process was still running after {timeout:g} s; it reached {_told(crash)}")
    if kill_at is not None and crash.reached[kill_at] < hits and after is None:
        raise CrashTestError(
            f"the child process ended before it reached {kill_at!r} {hits} times, so it was not killed; "
            f"it reached {_told(crash)}"
        )


def _told(crash: Crash) -> str:
    reached = ", ".join(f"{moment!r} {count} times" for moment, count in sorted(crash.reached.items()))
    return f"{reached or 'no moment'} and acknowledged {len(crash.acknowledged)} things"
