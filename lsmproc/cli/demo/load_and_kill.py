"""The second part of the demo: load real lines, kill the owner of the store in the middle, and lose nothing."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from lsmproc.cli.demo.comparison import compare
from lsmproc.cli.demo.input_lines import InputFile, in_load_order, records_of
from lsmproc.cli.demo.live_view import LiveView
from lsmproc.cli.demo.loader import Figures, Loader, wait_until_ended
from lsmproc.cli.demo.summary import LoadOutcome, summary_rows
from lsmproc.cli.progress import Progress
from lsmproc.open_store import open_store
from lsmproc.store import LSMStore
from lsmproc.verification import verify_store

if TYPE_CHECKING:
    from lsmproc.cli.demo.narrator import Narrator

# Small against the input, so that there is something to see; the defaults would flush a few times.
_OPTIONS: dict[str, Any] = {
    "memtable_max_bytes": "2MiB",
    "sstable_max_bytes": "2MiB",
    "level_base_bytes": "8MiB",
    "rate_limit_bytes_per_sec": "16MiB/s",
}
_WORKERS_GONE_SECONDS = 5.0
_SAMPLED_GETS = 20_000
_SCAN_BATCH_RECORDS = 10_000


def load_and_kill(path: str, files: Sequence[InputFile], seed: int, narrator: Narrator) -> None:
    """Load ``files`` into a new store at ``path``; what does not hold is in ``narrator.failures``."""
    narrator.heading("2. Real lines, and a kill -9 in the middle")
    files = in_load_order(files, seed)
    total = sum(file.lines for file in files)
    narrator.say(
        f"{total:,} lines of {len(files):,} files, {sum(file.size for file in files) / 1e6:.1f} MB.\n"
        "Key: file and line number; value: the line. A child process owns the store, and\n"
        "acknowledges each put through a pipe. Its settings:"
    )
    narrator.table([(name, str(value)) for name, value in _OPTIONS.items()])
    outcome = LoadOutcome(records=total, files=len(files))
    _load_until_killed(path, files, round(total * random.Random(seed).uniform(0.4, 0.6)), outcome, narrator)  # noqa: S311
    in_store = _reopen_and_compare(path, files, outcome, narrator)
    _finish_the_load(path, files, in_store, outcome, narrator)
    _read_everything(path, files, outcome, narrator)
    _verify(path, outcome, narrator)
    narrator.heading("What happened")
    narrator.table(summary_rows(outcome))


def _load_until_killed(
    path: str, files: Sequence[InputFile], kill_at: int, outcome: LoadOutcome, narrator: Narrator
) -> None:
    with Loader(path, _OPTIONS, files, 0) as loader:
        narrator.say(f"\nLoading in process {loader.pid}, until about {kill_at:,} records are acknowledged ...")
        with LiveView(narrator.output, outcome.records) as view:
            loader.watch(view.show, until=max(1, kill_at))
        began = time.monotonic()
        code, workers = loader.kill()
        left = wait_until_ended(workers, _WORKERS_GONE_SECONDS)
        outcome.workers_gone_seconds = time.monotonic() - began
        outcome.acknowledged_at_kill = loader.acknowledged
        outcome.load_seconds += loader.seconds
        _note_figures(outcome, loader.figures)
        busy = loader.figures.get("running_jobs", [])
    narrator.say(f"SIGKILL for process {loader.pid} after {outcome.acknowledged_at_kill:,} acknowledgements.")
    narrator.say("Running at that moment:")
    for job in busy or ("no flush and no compaction",):
        narrator.say(f"    {job}")
    narrator.check("the process was killed by signal 9", -9, code)
    narrator.check(f"its {len(workers)} worker processes are gone", [], [process.pid for process in left])


def _reopen_and_compare(path: str, files: Sequence[InputFile], outcome: LoadOutcome, narrator: Narrator) -> int:
    """Returns how many records of the load are in the store."""
    narrator.say("\nOpening the store again, and comparing every record with the files ...")
    began = time.perf_counter()
    with open_store(path, **_OPTIONS) as db, Progress("compared", "records") as progress:
        outcome.reopen_seconds = time.perf_counter() - began
        outcome.replayed_bytes = db.stats().wal.bytes + db.stats().immutable_memtables.bytes
        found = compare(db, files, outcome.acknowledged_at_kill, progress.update)
    outcome.beyond, outcome.missing = found.beyond, found.missing
    narrator.say(f"Open in {outcome.reopen_seconds * 1000:.0f} ms, with the log replayed.")
    narrator.check(f"all {outcome.acknowledged_at_kill:,} acknowledged records are there", 0, found.missing)
    narrator.check("each has the value that was put", (outcome.acknowledged_at_kill, 0), (found.correct, found.wrong))
    narrator.check(
        "nothing else is there but at most the one put in flight", True, found.foreign == 0 and found.beyond <= 1
    )
    return outcome.acknowledged_at_kill + found.beyond


def _finish_the_load(
    path: str, files: Sequence[InputFile], first: int, outcome: LoadOutcome, narrator: Narrator
) -> None:
    with Loader(path, _OPTIONS, files, first) as loader:
        narrator.say(f"\nGoing on with record {first + 1:,} in process {loader.pid} ...")
        with LiveView(narrator.output, outcome.records) as view:
            loader.watch(lambda done, figures: view.show(first + done, figures))
        code = loader.close()
        outcome.load_seconds += loader.seconds
        _note_figures(outcome, loader.figures)
    narrator.check(
        f"the other {outcome.records - first:,} records are acknowledged", outcome.records - first, loader.acknowledged
    )
    narrator.check("the process closed its store and ended", 0, code)


def _note_figures(outcome: LoadOutcome, figures: Figures) -> None:
    if figures:
        outcome.figures.append(figures)


def _read_everything(path: str, files: Sequence[InputFile], outcome: LoadOutcome, narrator: Narrator) -> None:
    narrator.say("\nReading everything back ...")
    with open_store(path, **_OPTIONS) as db, Progress("compared", "records") as progress:
        found = compare(db, files, outcome.records, progress.update)
        outcome.raw_bytes, scanned = _timed_scan(db, outcome)
        wrong = _timed_gets(db, files, outcome)
    whole = (found.correct, found.missing, found.wrong, found.beyond, found.foreign)
    narrator.check(f"all {outcome.records:,} records are there and correct", (outcome.records, 0, 0, 0, 0), whole)
    narrator.check("a scan of the whole store returns each once, in key order", outcome.records, scanned)
    narrator.check(f"{outcome.gets:,} gets in random order return the right values", 0, wrong)


def _timed_scan(db: LSMStore, outcome: LoadOutcome) -> tuple[int, int]:
    """Bytes of keys and values, and how many records came in ascending order."""
    size = ascending = 0
    last = [b""]
    records = db.range(fill_cache=False)
    began = time.perf_counter()
    while batch := list(islice(records, _SCAN_BATCH_RECORDS)):
        keys, values = zip(*batch, strict=True)
        size += sum(map(len, keys)) + sum(map(len, values))
        ascending += sum(map(bytes.__lt__, (*last, *keys), keys))
        last = [keys[-1]]
    outcome.scan_seconds = time.perf_counter() - began
    return size, ascending


def _timed_gets(db: LSMStore, files: Sequence[InputFile], outcome: LoadOutcome) -> int:
    """Get a sample of the records in random order; returns how many have a wrong value."""
    step = max(1, outcome.records // _SAMPLED_GETS)
    sample = list(islice(records_of(files), 0, None, step))
    random.Random(len(sample)).shuffle(sample)  # noqa: S311 - an order, not a secret
    get = db.get
    began = time.perf_counter()
    values = [get(key) for key, _ in sample]
    outcome.get_seconds = time.perf_counter() - began
    outcome.gets = len(sample)
    return sum(value != expected for value, (_, expected) in zip(values, sample, strict=True))


def _verify(path: str, outcome: LoadOutcome, narrator: Narrator) -> None:
    with Progress("verified", "bytes") as progress:
        report = verify_store(path, progress.update)
    claim = f"verify: {report.tables} tables and {report.segments} log segments, every checksum matches"
    narrator.check(claim, ("sound", []), (report.verdict, list(map(str, report.problems))))
    entries = os.scandir(path)
    with entries:
        outcome.disk_bytes = sum(entry.stat().st_size for entry in entries if entry.is_file())
    outcome.tables = report.tables
