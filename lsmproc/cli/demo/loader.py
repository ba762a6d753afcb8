"""The parent's side of a load: starts the load process, counts its acknowledgements, kills it when asked.

An acknowledgement is one byte in a pipe, so the number of bytes that ever came out of the pipe is the number of puts
that had returned, whatever happens to the process.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import psutil

import lsmproc
from lsmproc.cli.demo.input_lines import InputFile
from lsmproc.cli.demo.load_process import LoadRequest
from lsmproc.cli.exit_codes import CannotError

Figures = dict[str, Any]  # db.stats().to_json_dict() of the load process
OnProgress = Callable[[int, Figures], None]

_SILENCE_SECONDS = 60.0  # a load process that says nothing for so long is stuck
_EXIT_SECONDS = 20.0
_TICK_SECONDS = 0.03
_PIPE_BYTES = 1 << 20


class Loader:
    """One load process. Use as a context manager: at the end the process is gone, one way or the other.

    Attributes:
        acknowledged: puts of this process that had returned, as far as read from the pipe.
        figures: what the process last said about its store; empty before the first time.
        finished: whether it has loaded everything and its store is idle.
        seconds: from the first acknowledgement to the latest.
    """

    def __init__(self, path: str, options: dict[str, Any], files: Sequence[InputFile], first: int) -> None:
        """Start loading ``files`` from record ``first`` on into the store at ``path``."""
        self.acknowledged: int = 0
        self.figures: Figures = {}
        self.finished: Any = False
        self._first_at = self._latest_at = 0.0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._acknowledgements, write_end = os.pipe()
        self._half_line = b""
        package_parent = os.path.dirname(os.path.dirname(os.path.abspath(lsmproc.__file__)))
        paths = filter(None, (package_parent, os.environ.get("PYTHONPATH")))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lsmproc.cli.demo.load_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=(write_end,),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            )
        except BaseException:
            os.close(self._acknowledgements)
            self._errors.close()
            raise
        finally:
            os.close(write_end)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        request = LoadRequest(path, options, list(files), first, write_end)
        try:
            os.set_blocking(self._acknowledgements, False)
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                fcntl.fcntl(self._acknowledgements, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._input.write(request.to_json())
            self._input.flush()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    @property
    def pid(self) -> int:
        """Of the load process."""
        return self._process.pid

    @property
    def seconds(self) -> float:
        """See the class."""
        return self._latest_at - self._first_at

    def watch(self, on_progress: OnProgress, until: int | None = None) -> None:
        """Follow the load until it is finished, or has acknowledged ``until`` records.

        Raises CannotError when the process ends before, or says nothing for a minute.
        """
        heard_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._output.fileno(), selectors.EVENT_READ)
            while not self.finished and (until is None or self.acknowledged < until):
                # Acknowledgements come by the ten thousand: to wait for each would keep a core busy.
                news = selector.select(_TICK_SECONDS)
                alive = self._read_figures() if news else True
                if self._count_acknowledgements() or news:
                    heard_at = time.monotonic()
                    on_progress(self.acknowledged, self.figures)
                if not alive and not self.finished:
                    raise CannotError(f"the load process ended early: {self._last_words()}")
                if time.monotonic() - heard_at > _SILENCE_SECONDS:
                    raise CannotError(f"the load process said nothing for {_SILENCE_SECONDS:.0f} s")

    def kill(self) -> tuple[int, list[psutil.Process]]:
        """SIGKILL the process; returns its exit code and the worker processes that it had."""
        workers = psutil.Process(self.pid).children(recursive=True)
        self._process.kill()
        code = self._process.wait(_EXIT_SECONDS)
        # What it had acknowledged before it died is still in the pipe.
        self._count_acknowledgements()
        return code, workers

    def close(self) -> int:
        """Let the process close its store and end; returns its exit code."""
        self._input.close()
        code = self._process.wait(_EXIT_SECONDS)
        self._count_acknowledgements()
        return code

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill the process if it still runs, and its workers with it."""
        if self._process.poll() is None:
            _, workers = self.kill()
            wait_until_ended(workers, _EXIT_SECONDS)
        for stream in (self._input, self._output, self._errors):
            try:
                stream.close()
            except BrokenPipeError:
                continue  # what the process did not read any more
        os.close(self._acknowledgements)

    def _count_acknowledgements(self) -> bool:
        """Count all that is in the pipe now; False if there was nothing."""
        before = self.acknowledged
        try:
            while data := os.read(self._acknowledgements, _PIPE_BYTES):
                self.acknowledged += len(data)
        except BlockingIOError:
            pass  # The process is alive and will send more.
        if self.acknowledged == before:
            return False
        self._latest_at = time.monotonic()
        self._first_at = self._first_at or self._latest_at
        return True

    def _read_figures(self) -> bool:
        """Take the newest whole line of figures; False at the end of the stream."""
        data = os.read(self._output.fileno(), _PIPE_BYTES)
        *lines, self._half_line = (self._half_line + data).split(b"\n")
        if lines:
            report = json.loads(lines[-1])
            self.figures = report["stats"]
            self.finished = report["finished"]
        return bool(data)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.poll()}"


def wait_until_ended(processes: Sequence[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait for processes that are not our children, up to ``timeout`` seconds; returns those that still run."""
    deadline = time.monotonic() + timeout
    while (left := list(filter(_runs, processes))) and time.monotonic() < deadline:
        time.sleep(0.002)  # No event tells of the end of another one's child.
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
