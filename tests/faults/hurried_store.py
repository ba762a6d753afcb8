"""Settings that no user has, under which a short life shows all that a long one would."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest


class _LoudHandler(logging.Handler):
    """Keeps what must never be logged: an exception that a callback let out."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Pauses are short, the manifest rolls early, the clock of the log's syncs ticks with each look at it.

    Gives the list of exceptions that callbacks have let out, which must stay empty.
    """
    ticks = count()
    small: dict[str, Any] = {
        "maintenance.retries._FIRST_DELAY_SECONDS": 0.0005,
        "maintenance.retries._LONGEST_DELAY_SECONDS": 0.0005,
        "maintenance.maintenance._LOOK_SECONDS": 0.001,
        "opening.store_parts._INLINE_WAIT_SECONDS": 0.001,
        "writing.write_controller._BLOCKED_WAIT_SECONDS": 0.001,
        "storage.manifest._ROLL_MINIMUM_BYTES": 0,
        "storage.manifest._ROLL_FACTOR": 2,
        "opening.store_parts.time": SimpleNamespace(monotonic=lambda: next(ticks) * 0.6),
    }
    for name, value in small.items():
        monkeypatch.setattr(f"lsmproc.{name}", value)
    logger = logging.getLogger("lsmproc")
    handler = _LoudHandler()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
