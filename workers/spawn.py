"""Starts a worker process: multiprocessing's spawn protocol, without the parts that tie it to the host program.

The child is started with multiprocessing's own command line, so that frozen programs recognise it, and runs
``multiprocessing.spawn.spawn_main``. What differs from ``multiprocessing.Process.start``:

* the child does not import the host's ``__main__``: no main guard is needed, and it works from ``-c``, from standard
  input, in a notebook, and in daemonic processes (worker pools, Celery);
* no resource tracker process is started, since no semaphore and no shared memory is used, and the child is not listed
  in ``multiprocessing.active_children()``, which belongs to the application;
* SIGINT, SIGTERM and SIGHUP are blocked when the child is born, until it has decided to ignore them: they are sent to
  whole process groups, and only the owner decides when a worker ends;
* the child inherits the descriptors named by the caller and nothing else, and starts in ``/``.

Two pipes tie the two processes together for life: one ends when the child dies (``SpawnedProcess.sentinel``), the other
when the owner dies (``multiprocessing.parent_process().sentinel`` in the child).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import reduction, spawn, util
from pathlib import Path

from lsmproc.workers.fork_guard import fork_guard
from lsmproc.workers.group_signals import group_signals_blocked

HANDSHAKE_SECONDS = 10.0  # a child that has not read its 1-2 KiB start message by then is given up


class SpawnedProcess:
    """A running child process, seen from its parent. Not thread-safe."""

    def __init__(self, name: str, target: Callable[..., None], arguments: Sequence[object], fds: Sequence[int]) -> None:
        """Start ``target(*arguments)`` in a new process that inherits ``fds`` under the same numbers.

        REQUIRES: target and arguments can be found again by their names. Raises OSError or RuntimeError when the system
        or a finishing interpreter refuses; nothing is left behind then.
        """
        self.name = name
        start_message = _start_message(name, target, arguments)
        guard = fork_guard()
        with guard.making():
            made: list[int] = []
            try:
                self.sentinel: int
                self.sentinel, child_alive = pipe_above_stderr(made)
                child_start, self._lifeline = pipe_above_stderr(made)
                # Before there is a child: one whose parent dies in the middle would complain about half a message.
                rest = _write_now(self._lifeline, memoryview(start_message))
                self.pid: int = _spawn(child_start, (child_start, child_alive, *fds))
            except BaseException:
                guard.close(*made)
                raise
            guard.close(child_start, child_alive)
            guard.add(self.sentinel, self._lifeline)
        self._closed = False
        self._reaped = False
        try:
            _write_before_deadline(self._lifeline, rest, HANDSHAKE_SECONDS)
        except OSError:
            self.kill()
            self.close(timeout=1.0)
            raise

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return not self._closed and not _readable(self.sentinel, 0.0)

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end of the process; whether it has ended."""
        return self._closed or _readable(self.sentinel, timeout)

    def kill(self) -> None:
        """Kill the process if it still runs. Its number is safe to use: the process is not reaped yet."""
        if self.is_alive() and not self._reaped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self, timeout: float = 1.0) -> None:
        """Reap the process and give the descriptors back. Idempotent. REQUIRES: it has ended, or was killed."""
        if self._closed:
            return
        deadline = time.monotonic() + timeout
        self.wait(timeout)
        # The pipe ends a moment before the kernel offers the process for reaping.
        while not self._reap() and time.monotonic() < deadline:
            select.poll().poll(1)
        self._closed = True
        fork_guard().close(self.sentinel, self._lifeline)

    def _reap(self) -> bool:
        try:
            self._reaped = self._reaped or os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        except ChildProcessError:
            # The application reaps all children itself, or ignores SIGCHLD.
            self._reaped = True
        return self._reaped


def pipe_above_stderr(made: list[int]) -> tuple[int, int]:
    """The (read, write) ends of a pipe, never 0, 1 or 2, even in a daemon that closed those; adds both to ``made``."""
    made.extend(os.pipe())
    for index in (-2, -1):
        low = made[index]
        if low <= 2:
            made[index] = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 3)
            os.close(low)
    return made[-2], made[-1]


def _start_message(name: str, target: Callable[..., None], arguments: Sequence[object]) -> bytes:
    """What spawn_main reads: how to prepare the process, then the process object to run.

    Both go through multiprocessing's own serializer, because that is what its spawn_main expects; they hold names and
    plain data only. Preparation leaves out all of ``__main__`` and the authentication key.
    """
    process = multiprocessing.get_context("spawn").Process(target=target, name=name, args=tuple(arguments), daemon=True)
    # Inherited from the current process: a key that refuses to be serialized, and settings of the application.
    process._config = {"daemon": True}  # type: ignore[attr-defined]  # noqa: SLF001
    message = io.BytesIO()
    reduction.dump({"name": name, "sys_path": _absolute_sys_path(), "sys_argv": [name], "dir": "/"}, message)
    reduction.dump(process, message)
    return message.getvalue()


def _absolute_sys_path() -> list[str]:
    """``sys.path`` as it is meant here, for a process with another working directory."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        # The working directory was removed, and with it whatever relative entries meant.
        return [entry for entry in sys.path if Path(entry).is_absolute()]
    return [str(here / entry) for entry in sys.path]


def _spawn(start_fd: int, fds: Sequence[int]) -> int:
    """Start the child and return its process id. It inherits ``fds`` and the blocked signals."""
    command = spawn.get_command_line(pipe_handle=start_fd)
    if not getattr(sys, "frozen", False):
        # Without -P the child would look for the standard library in the host's working directory first.
        command.insert(1, "-P")
    with group_signals_blocked(), _low_descriptors_taken():
        return util.spawnv_passfds(os.fsencode(spawn.get_executable()), command, fds)


@contextlib.contextmanager
def _low_descriptors_taken() -> Iterator[None]:
    """In a daemon that closed 0, 1 or 2, take them: the pipe that spawnv_passfds makes must not be one of them."""
    taken: list[int] = []
    try:
        while not taken or taken[-2] <= 2:
            taken.extend(os.pipe())
        yield
    finally:
        for fd in taken:
            os.close(fd)


def _write_now(fd: int, message: memoryview) -> memoryview:
    """Write what the pipe takes at once, which is nearly always everything; returns the rest."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while message:
            message = message[os.write(fd, message) :]
    return message


def _write_before_deadline(fd: int, rest: memoryview, timeout: float) -> None:
    """Write all of ``rest``; raises TimeoutError when the reader does not take it in time."""
    deadline = time.monotonic() + timeout
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while rest:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(f"a new worker process did not read its start message within {timeout:g} seconds")
        rest = _write_now(fd, rest)


def _readable(fd: int, timeout: float) -> bool:
    """Whether ``fd`` can be read, or has ended, within ``timeout`` seconds."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
