"""What tests make of the sorted runs that a flush reads from the log."""

from __future__ import annotations

from collections.abc import Iterable

from lsmproc.storage.wal_reader import Records
from lsmproc.storage.wal_runs import Run


def newest_of(runs: Iterable[Run]) -> Records:
    """The newest record of each key; the oldest run comes first. Fails unless each run ascends."""
    records: Records = {}
    for keys, values, sequences in runs:
        assert keys == sorted(set(keys))
        records.update(zip(keys, zip(sequences, values, strict=True), strict=True))
    return records
