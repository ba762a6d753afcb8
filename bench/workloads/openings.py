"""How long an open takes: of a new store, and of one whose owner was killed with a full log."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lsmproc.bench.child import command, environment
from lsmproc.bench.sparse_copy import copy_store
from lsmproc.bench.workloads.work import CallLoop, Stage, Work, Workload

_EMPTY_OPENS = 20
_FULL_OPENS = 5
_LOG_SHARE = 0.9  # of the write buffer, so that the log is as long as it gets
_CRASH_SECONDS = 300.0


def _open_empty(stage: Stage) -> Work:
    return Work(CallLoop(), [_openings(stage, None, _EMPTY_OPENS)])


def _open_full(stage: Stage) -> Work:
    """The store of a session that wrote nearly a write buffer and was killed."""
    crashed = Path(stage.directory + "-crashed")
    settings = stage.settings
    wanted = int(_LOG_SHARE * stage.options.write_buffer_bytes) // (settings.key_size + settings.value_size)
    job = {
        "system": stage.open_system.__module__.rpartition(".")[2].removesuffix("_system"),
        "directory": str(crashed),
        "settings": settings.to_json_dict(),
        "count": min(wanted, settings.num),
    }
    # It ends itself with SIGKILL, so its exit status says nothing.
    subprocess.run(
        command("crash"), input=json.dumps(job), text=True, timeout=_CRASH_SECONDS, check=False, env=environment()
    )
    return Work(CallLoop(), [_openings(stage, crashed, _FULL_OPENS)], notes={"records in the log": job["count"]})


def _openings(stage: Stage, source: Path | None, count: int) -> Iterator[list[Any]]:
    """Each opens a directory of its own; stores are closed and directories made with the clock stopped."""
    for number in range(count):
        directory = f"{stage.directory}-{number}"
        if source is not None:
            copy_store(str(source), directory)
        opened: list[Any] = []
        yield [partial(_open_into, opened, stage, directory)]
        for system in opened:
            system.close()
        shutil.rmtree(directory, ignore_errors=True)
    if source is not None:
        shutil.rmtree(source, ignore_errors=True)


def _open_into(opened: list[Any], stage: Stage, directory: str) -> None:
    opened.append(stage.open_system(directory, stage.options))


OPENINGS = (
    Workload(
        name="openempty", what="open of a directory that does not exist", make=_open_empty, start="empty", threads=1
    ),
    Workload(
        name="opencrashed",
        what="open after kill -9 with a log of nine tenths of the write buffer",
        make=_open_full,
        start="empty",
        threads=1,
    ),
)
