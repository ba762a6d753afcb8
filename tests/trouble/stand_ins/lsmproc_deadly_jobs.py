"""A runner module whose jobs end their process, as a bug in a C extension would; it is found by its name in workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def run(request: object, grant: Callable[[int], None], open_file_system: object) -> object:
    """Leave a mark, half an output, and die."""
    directory = Path(request.directory)  # type: ignore[attr-defined]
    job, attempt, epoch = request.job, request.attempt, request.epoch  # type: ignore[attr-defined]
    with (directory.parent / "attempts").open("a") as file:
        file.write(f"{job} {attempt}\n")
    (directory / "tmp").mkdir(exist_ok=True)
    (directory / "tmp" / f"{epoch}-{job}-{attempt}-0.sst").write_bytes(b"half a table")
    os._exit(137)
