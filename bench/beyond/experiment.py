"""Runs one experiment of this folder in a process of its own: a job goes in as JSON, an answer comes out as JSON.

``python -m lsmproc.bench.beyond.experiment``. The experiments share one beginning, a *backlog*: a store that was
filled at random while no compaction ran, so that everything still waits in level 0.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lsmproc
from lsmproc.bench.child import command, environment
from lsmproc.bench.errors import OptionError, SessionFailedError
from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings
from lsmproc.bench.sparse_copy import copy_store

IDLE_SECONDS = 600.0
WRITE_BUFFER_BYTES = 4 << 20  # small, so that a backlog has many tables
_JOB_SECONDS = 1800.0
_CHUNK = 1000
_FEWEST_TABLES = 8  # in level 0, which is merged down from 4 on
_UNREACHED = {"level0_compaction_trigger": 1000, "level0_slowdown_writes_trigger": 9_000}
_UNREACHED |= {"level0_stop_writes_trigger": 10_000}

Answer = dict[str, Any]
Copied = Callable[[], contextlib.AbstractContextManager[str]]


def ask(job: str, settings: Settings, directory: str, **arguments: Any) -> Answer:
    """Do ``job`` in a new process. Raises SessionFailedError."""
    question = {"job": job, "settings": settings.to_json_dict(), "directory": directory, "arguments": arguments}
    try:
        done = subprocess.run(
            command("beyond.experiment"),
            input=json.dumps(question),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=_JOB_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SessionFailedError(f"{job} gave no answer within {_JOB_SECONDS:g} s") from None
    if done.returncode:
        raise SessionFailedError(f"{job} failed:\n{done.stderr}".rstrip())
    answer: Answer = json.loads(done.stdout)
    return answer


@contextlib.contextmanager
def backlog(settings: Settings, directory: str | None) -> Iterator[Copied]:
    """Fill a store without compacting it; gives what makes a copy of it, which is removed after its block.

    Raises OptionError if the settings leave nothing to compact.
    """
    with tempfile.TemporaryDirectory(prefix="lsmproc-bench-", dir=directory) as folder:
        filled = str(Path(folder, "filled"))
        tables = ask("fill", settings, filled)["tables"]
        if tables < _FEWEST_TABLES:
            raise OptionError(
                f"{settings.num:,} records make a backlog of {tables} tables, and {_FEWEST_TABLES} are needed:"
                " raise --num or lower --write-buffer-bytes"
            )

        @contextlib.contextmanager
        def copied() -> Iterator[str]:
            place = str(Path(folder, "copy"))
            copy_store(filled, place)
            try:
                yield place
            finally:
                shutil.rmtree(place, ignore_errors=True)

        yield copied


def store_options(settings: Settings) -> dict[str, Any]:
    """What the stores of all experiments are opened with."""
    if settings.defaults:
        return {"wal_sync": "none", "background": settings.background}
    return {
        "memtable_max_bytes": settings.write_buffer_bytes,
        "block_cache_bytes": settings.cache_bytes,
        "bloom_bits_per_key": (settings.bloom_bits,),
        "wal_sync": "none",
        "background": settings.background,
    }


def fill(settings: Settings, directory: str) -> Answer:
    """All records in random order, flushed and not compacted."""
    maker = RecordMaker(settings, settings.seed)
    order = maker.shuffled()
    with lsmproc.open(directory, **store_options(settings) | _UNREACHED) as db, db.background_paused():
        put = db.put
        for first in range(0, len(order), _CHUNK):
            for key, value in maker.records(order[first : first + _CHUNK]):
                put(key, value)
        db.flush_memtable()
        return {"tables": len(db.live_files())}


def main() -> None:
    """Read the job, do it, answer."""
    from lsmproc.bench.beyond import draining, idling, limiting, looping  # noqa: PLC0415 - they need this module

    jobs = {
        "fill": fill,
        "drain": draining.drain,
        "loop": looping.loop,
        "limit": limiting.limit,
        "paced puts": limiting.paced_puts,
        "idle": idling.idle,
    }
    question = json.load(sys.stdin)
    settings = Settings.from_json_dict(question["settings"])
    job: Any = jobs[question["job"]]
    print(json.dumps(job(settings, question["directory"], **question["arguments"])))


if __name__ == "__main__":
    main()
