"""Results in a file: written as a whole or not at all, and read only in the form that this program writes."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lsmproc.bench.errors import OptionError

_FORMAT = 2

Run = dict[str, Any]


def new_run(kind: str, settings: dict[str, Any]) -> Run:
    """An empty run: what was asked for, when and where."""
    return {
        "format": _FORMAT,
        "kind": kind,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "platform": platform.platform(terse=True),
        },
        "settings": settings,
    }


def write(run: Run, path: str) -> None:
    """Replace the file, so that a stop at any moment leaves the results before or after."""
    beside = f"{path}.new"
    Path(beside).write_text(json.dumps(run) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read(path: str, kind: str) -> Run:
    """The run in a file. Raises OptionError if it holds none of this kind."""
    try:
        run = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise OptionError(f"{path} holds no results: it is no JSON") from None
    if not isinstance(run, dict) or run.get("format") != _FORMAT:
        found = run.get("format") if isinstance(run, dict) else None
        raise OptionError(f"{path} holds results of format {found}; this program reads format {_FORMAT}")
    if run["kind"] != kind:
        raise OptionError(f"{path} holds results of `lsmproc bench {run['kind']}`, not of `lsmproc bench {kind}`")
    return run
