"""The child of a crash test: runs the test's function, tells what it reaches and acknowledges, and dies when told to.

Each message to the parent is one line of JSON in a pipe, written in one call before the function goes on: so the parent
has read it even if the process is killed right after.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from lsmproc.workers.group_signals import GROUP_SIGNALS


class CrashPoint:
    """What the function of a crash test is given: it names its moments, and acknowledges what must survive."""

    def __init__(self, fd: int, kill_at: str | None, hits: int) -> None:
        """Tell the parent through ``fd``; die when ``kill_at`` is reached for the ``hits``-th time."""
        self._fd = fd
        self._kill_at = kill_at
        self._hits = hits
        self._reached: Counter[str] = Counter()

    def reach(self, moment: str) -> None:
        """Say that this moment of the function is reached. If it is the one, the process is killed here (SIGKILL)."""
        self._reached[moment] += 1
        self._tell("reached", moment)
        if moment == self._kill_at and self._reached[moment] >= self._hits:
            os.kill(os.getpid(), signal.SIGKILL)

    def acknowledge(self, what: Any) -> None:
        """Say that ``what`` is done for good: text, a number, or a list of them. Bytes are told as text, latin-1."""
        self._tell("acknowledged", what.decode("latin-1") if isinstance(what, bytes) else what)

    def _tell(self, kind: str, what: Any) -> None:
        line = memoryview(json.dumps([kind, what]).encode() + b"\n")
        while line:
            line = line[os.write(self._fd, line) :]


def run_child(
    function: Callable[..., object], arguments: tuple[Any, ...], fd: int, kill_at: str | None, hits: int
) -> None:
    """Run ``function(point, *arguments)`` in this process, which was started for it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    point = CrashPoint(fd, kill_at, hits)
    try:
        function(point, *arguments)
    except BaseException:
        point._tell("raised", traceback.format_exc())  # noqa: SLF001 - its own message
        raise
    point._tell("returned", None)  # noqa: SLF001 - its own message
