"""The child process of the demo: owns the store, puts records, and acknowledges each one to its parent.

Run as ``python -m lsmproc.cli.demo.load_process`` with a LoadRequest as one line of JSON on stdin. After each put that
returned, one byte goes to the acknowledgement pipe. Ten times a second, one line of JSON with the store's figures goes
to stdout; the last one says that everything is loaded and the store idle. The store is closed when stdin ends; the
process ends when its parent does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lsmproc.cli.demo.input_lines import InputFile, records_of
from lsmproc.open_store import open_store

if TYPE_CHECKING:
    from lsmproc.store import LSMStore

ACKNOWLEDGED = b"+"
_REPORT_SECONDS = 0.1
_IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load, and where."""

    path: str
    options: dict[str, Any]
    files: list[InputFile]
    first: int  # records before it are in the store already
    acknowledge_fd: int

    def to_json(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> LoadRequest:
        """The inverse of to_json."""
        fields = json.loads(line)
        return cls(**{**fields, "files": [InputFile(**file) for file in fields["files"]]})


def main() -> None:
    """Do what stdin asks for."""
    # Ctrl-C goes to the whole process group, but the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = LoadRequest.from_json(sys.stdin.buffer.readline())
    with open_store(request.path, **request.options) as db:
        finished = threading.Event()
        reporter = threading.Thread(target=_report, args=(db, finished), name="report", daemon=True)
        reporter.start()
        try:
            _load(db, request)
            db.wait_idle(_IDLE_SECONDS)
        finally:
            finished.set()
            reporter.join()
        _print_figures(db, finished=True)
        sys.stdin.buffer.read()


def _load(db: LSMStore, request: LoadRequest) -> None:
    put, write, fd = db.put, os.write, request.acknowledge_fd
    for key, value in records_of(request.files, request.first):
        put(key, value)
        write(fd, ACKNOWLEDGED)


def _report(db: LSMStore, finished: threading.Event) -> None:
    try:
        while not finished.wait(_REPORT_SECONDS):
            _print_figures(db, finished=False)
    except BrokenPipeError:
        # The parent is gone. Nobody waits for a tidy end, and the store needs none.
        os._exit(1)


def _print_figures(db: LSMStore, *, finished: bool) -> None:
    sys.stdout.write(json.dumps({"finished": finished, "stats": db.stats().to_json_dict()}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
