"""A job that kills every worker that takes it is given up by name, and the rest of the store stays usable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsmproc.errors import WorkerDiedError
from tests.tally import Tally
from tests.trouble.ledger import Ledger, files_without_owner, until

Store = Any


def fill(db: Store, ledger: Ledger, count: int) -> Exception | None:
    """Write so often, or until the store raises."""
    for _ in range(count):
        try:
            ledger.write(db)
        except WorkerDiedError as error:
            return error
    return None


@pytest.mark.parametrize("kind", ["flush", "compaction"])
def test_a_job_that_kills_its_workers_ends_writes_and_not_reads(
    open_store: Any, deadly_jobs: str, tmp_path: Path, kind: str, tally: Tally
) -> None:
    """Three attempts, no more ever; the error names job and file; nothing is lost, and the next open can mend it."""
    ledger = Ledger(21)
    db = open_store({f"{kind}_runner": deadly_jobs})
    fill(db, ledger, 300)
    until(lambda: db._parts.maintenance.error is not None, 20, "the job is given up")
    error = fill(db, ledger, 1)
    assert isinstance(error, WorkerDiedError)
    assert "died on each of 3 attempts" in str(error)
    assert (".wal" if kind == "flush" else ".sst") in str(error)
    assert error.job
    attempts = (tmp_path / "attempts").read_text().split("\n")[:-1]
    assert ["1", "2", "3"] == [line.split()[1] for line in attempts]
    with pytest.raises(WorkerDiedError):
        db.compact_range(timeout=5)
    with pytest.raises(WorkerDiedError):
        db.wait_idle(5)
    ledger.check(db)
    assert attempts == (tmp_path / "attempts").read_text().split("\n")[:-1]
    assert [] == list((tmp_path / "db" / "tmp").iterdir())
    db.close()
    healthy = open_store()
    ledger.check(healthy)
    healthy.compact_range(timeout=30)
    healthy.wait_idle(30)
    ledger.check(healthy)
    assert [] == files_without_owner(tmp_path / "db", healthy)
    tally.add("jobs that kill every worker")
