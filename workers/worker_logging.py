"""The two ends of a worker's log that need the module ``logging``: its loggers, and the owner's that say it again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.formats.messages import LogRecord
    from lsmproc.workers.log_forwarding import LogForwarder


def hear(forwarder: LogForwarder) -> None:
    """In a worker: let ``forwarder`` be the only handler there is."""
    root = logging.getLogger()
    root.handlers[:] = [_RecordTap(forwarder)]
    root.setLevel(forwarder.level)


def log_again(worker: str, pid: int | None, record: LogRecord) -> None:
    """In the owner: log what a worker has said, to the logger of the same name, if need be below lsmproc.workers."""
    name = record.logger if record.logger.partition(".")[0] == "lsmproc" else f"lsmproc.workers.{record.logger}"
    extra = {"worker": worker, "worker_pid": pid}
    logging.getLogger(name).log(record.level, "worker %s (pid %s): %s", worker, pid, record.text, extra=extra)


class _RecordTap(logging.Handler):
    def __init__(self, forwarder: LogForwarder) -> None:
        super().__init__()
        self._forwarder = forwarder

    def emit(self, record: logging.LogRecord) -> None:
        self._forwarder.say(record.name, record.levelno, self.format(record))
