"""Carries what is said in a worker process to the owner, whose loggers say it: a worker has no handlers of its own.

Records travel over the worker's queue, between two steps of its job, so about a second late at most; what a worker says
in the moment of its death is lost. The level is that of the owner's logger ``lsmproc`` when the worker was started.

The module ``logging`` is not imported here: it would be a tenth of what a worker imports, and hardly any worker ever
says anything. Once something else in the process has imported it, its records are carried, too.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from typing import TextIO

from lsmproc.formats.messages import LogRecord

DEBUG, WARNING, ERROR = 10, 30, 40  # as in the module logging
MOST_WAITING = 200  # records between two steps; more are counted only
_MOST_CHARACTERS = 8192


class LogForwarder:
    """Keeps records until the worker sends them."""

    def __init__(self, level: int) -> None:
        """Keep records from ``level`` on."""
        self.level: int = max(level, 0)
        self._waiting: deque[LogRecord] = deque()
        self._dropped = 0
        self._hears_loggers = False

    def hear_warnings(self) -> None:
        """Keep the warnings of Python, which would go to the stderr of the owner."""

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            del file
            self.say("py.warnings", WARNING, warnings.formatwarning(message, category, filename, lineno, line).strip())

        warnings.showwarning = show

    def hear_loggers(self) -> None:
        """Keep the records of all loggers of this process, if it has any by now."""
        if not self._hears_loggers and "logging" in sys.modules:
            from lsmproc.workers.worker_logging import hear  # noqa: PLC0415 - see above

            hear(self)
            self._hears_loggers = True

    def say(self, logger: str, level: int, text: str) -> None:
        """Keep one record, if its level is high enough."""
        if level < self.level:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(LogRecord(logger[:200], max(0, level), text[:_MOST_CHARACTERS]))

    def take(self) -> list[LogRecord]:
        """The records that were not taken before, and how many there was no room for."""
        if not self._waiting:
            return []
        records = list(self._waiting)
        self._waiting.clear()
        if self._dropped:
            text = f"{self._dropped} more records of this worker were dropped"
            records.append(LogRecord("lsmproc.workers", WARNING, text))
            self._dropped = 0
        return records
