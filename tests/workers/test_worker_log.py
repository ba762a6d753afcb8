"""What is logged in a worker process is said by the owner's loggers."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lsmproc.formats.messages import LogRecord
from lsmproc.workers import log_forwarding
from lsmproc.workers.log_forwarding import LogForwarder
from lsmproc.workers.worker_logging import hear, log_again


def test_records_warnings_and_failures_of_a_worker_come_with_its_name_and_pid(
    runs: Any, stand_in_jobs: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody configures logging in a worker, and its stderr may be closed."""
    with caplog.at_level(logging.DEBUG, "lsmproc"):
        runs.run(stand_in_jobs.compaction(1, stand_in_jobs.RAISE, tmp_path))
        runs.run(stand_in_jobs.compaction(2, stand_in_jobs.LOG, tmp_path))
        runs.run(stand_in_jobs.compaction(3, stand_in_jobs.FINISH, tmp_path))
    (report,) = runs.background.worker_reports()
    found = [(record.name, record.levelname) for record in caplog.records if vars(record).get("worker")]
    assert ("lsmproc.workers.jobs", "ERROR") in found
    assert ("lsmproc.workers.py.warnings", "WARNING") in found
    assert ("lsmproc.stand_in", "INFO") in found
    assert ("lsmproc.workers.jobs", "DEBUG") in found
    text = next(record.getMessage() for record in caplog.records if record.name == "lsmproc.stand_in")
    assert f"worker compaction-1 (pid {report.pid}): a word from job 2" == text
    assert {report.pid} == {vars(record)["worker_pid"] for record in caplog.records if vars(record).get("worker")}


def test_records_below_the_owners_level_are_not_sent() -> None:
    """They would cost the worker and the queue for nothing."""
    forwarder = LogForwarder(logging.WARNING)
    forwarder.say("lsmproc.x", logging.INFO, "quiet")
    forwarder.say("lsmproc.x", logging.ERROR, "loud")
    assert [LogRecord("lsmproc.x", logging.ERROR, "loud")] == forwarder.take()
    assert [] == forwarder.take()


def test_a_flood_of_records_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that logs in a loop must not fill the pipe or its memory."""
    monkeypatch.setattr(log_forwarding, "MOST_WAITING", 3)
    forwarder = LogForwarder(0)
    for number in range(10):
        forwarder.say("lsmproc.x", logging.ERROR, f"{number} {'y' * 20_000}")
    records = forwarder.take()
    assert ["0", "1", "2", "7 more records of this worker were dropped"] == [
        record.text if "dropped" in record.text else record.text[:1] for record in records
    ]
    assert all(len(record.text) <= 8192 for record in records)


def test_warnings_and_loggers_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the way that a worker hears them."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    forwarder = LogForwarder(logging.INFO)
    forwarder.hear_warnings()
    hear(forwarder)
    try:
        logging.getLogger("somewhere").info("one %d", 1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning("two", UserWarning, "file.py", 3)
    finally:
        root.setLevel(level)
    assert [("somewhere", 20, "one 1"), ("py.warnings", 30, "file.py:3: UserWarning: two")] == [
        (record.logger, record.level, record.text) for record in forwarder.take()
    ]


def test_a_worker_cannot_speak_for_loggers_of_the_application(caplog: pytest.LogCaptureFixture) -> None:
    """Names outside of this package are put below it."""
    log_again("flush-1", 7, LogRecord("root.secrets", logging.ERROR, "text"))
    assert ["lsmproc.workers.root.secrets"] == [record.name for record in caplog.records]
