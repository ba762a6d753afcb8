"""The parent's side of one owner process: starts it, talks to it, kills it, and counts who is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

import lsmproc
from lsmproc.stress.channel import AckStream, MessageStream, send

REPLY_SECONDS = 60.0  # a child that does not answer by then hangs
_STDERR_BYTES = 1 << 16
_READ_BYTES = 1 << 16


class OwnerFailedError(Exception):
    """The owner raised, hung or ended by itself; the text says how."""


class OwnerUnderTest:
    """One child. Not thread-safe; every wait takes in acknowledgements on the way."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start the child on the store that ``settings`` describe; it begins to open it."""
        self.acks: AckStream = AckStream(settings["load"]["threads"])
        self.killed_at: float = 0.0
        self.gone_seconds: float = 0.0  # by which the last process of a dead owner had ended, if it was waited for
        self.stderr: bytes = b""
        self.refused: list[dict[str, Any]] = []  # writes that raised an error of the package, as they were told
        command_read, self._command_fd = os.pipe()
        self._ack_fd, ack_write = os.pipe()
        self._reply_fd, reply_write = os.pipe()
        package_parent = str(Path(lsmproc.__file__).parents[1])
        try:
            # A session of its own: its number finds every process that the owner leaves behind.
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
                [sys.executable, "-P", "-m", "lsmproc.stress.owner_process", json.dumps(settings)]
                + [str(fd) for fd in (command_read, ack_write, reply_write)],
                pass_fds=(command_read, ack_write, reply_write),
                env=_environment(package_parent, settings["bytecode"]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        finally:
            for fd in (command_read, ack_write, reply_write):
                os.close(fd)
        self.pid: int = self._process.pid
        assert self._process.stderr is not None
        self._messages = MessageStream()
        self._replies: list[dict[str, Any]] = []
        self._readers = {
            self._ack_fd: self._read_acks,
            self._reply_fd: self._read_replies,
            self._process.stderr.fileno(): self._read_stderr,
        }

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command. Raises OwnerFailedError if nobody is there to read it."""
        try:
            send(self._command_fd, command)
        except BrokenPipeError:
            raise OwnerFailedError(self._last_words("it ended by itself")) from None

    def expect(self, *answers: str, timeout: float = REPLY_SECONDS) -> dict[str, Any]:
        """Wait for one of the ``answers``. Raises OwnerFailedError when the child failed, ended or hangs instead."""
        deadline = time.monotonic() + timeout
        while True:
            while self._replies:
                message = self._replies.pop(0)
                if message["is"] in answers:
                    return message
                if message["is"] == "refused":
                    self.refused.append(message)
                if message["is"] == "failed":
                    raise OwnerFailedError(self._last_words(message["text"]))
            if self._reply_fd not in self._readers:
                raise OwnerFailedError(self._last_words("it ended by itself"))
            if time.monotonic() >= deadline:
                raise OwnerFailedError(
                    self._last_words(f"it did not say {' or '.join(answers)!r} within {timeout:g} s")
                )
            self._pump(deadline)

    def ask(self, question: str, answer: str, timeout: float = REPLY_SECONDS) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell({"do": question})
        return self.expect(answer, timeout=timeout)

    def kill_all(self) -> None:
        """SIGKILL for the child and every process that it has started, and wait until they are gone."""
        self.kill()
        deadline = time.monotonic() + REPLY_SECONDS
        while pids := _session(self.pid):
            if time.monotonic() >= deadline:
                raise OwnerFailedError(f"the processes {pids} cannot be killed")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            select.poll().poll(1)

    def run_for(self, seconds: float) -> None:
        """Let the child work for a while. Raises OwnerFailedError when a write of it failed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._reply_fd in self._readers:
            self._pump(deadline)
        for message in self._replies:
            if message["is"] == "failed":
                raise OwnerFailedError(self._last_words(message["text"]))
        self.refused += [message for message in self._replies if message["is"] == "refused"]
        self._replies = [message for message in self._replies if message["is"] != "refused"]
        if self._reply_fd not in self._readers:
            raise OwnerFailedError(self._last_words("it ended by itself"))

    def take_all(self) -> None:
        """Take in everything that the child has said until now."""
        while self._pump(time.monotonic()):
            pass

    def take_what_came(self) -> None:
        """Take in what the child has said until now, while it may go on talking."""
        self._pump(time.monotonic())

    def kill(self) -> None:
        """SIGKILL, then read what it had acknowledged until then."""
        self._process.kill()
        self.killed_at = time.monotonic()
        self._finish()

    def await_death(self, timeout: float) -> bool:
        """Wait until the child has ended by itself; False if the time is up before. What it says besides is kept."""
        deadline = time.monotonic() + timeout
        while self._reply_fd in self._readers and time.monotonic() < deadline:
            self._pump(deadline)
        return self._reply_fd not in self._readers

    def await_refusal(self, timeout: float) -> bool:
        """Wait until a write of the child has raised an error of the package; False if the time is up before."""
        deadline = time.monotonic() + timeout
        while not self.refused and time.monotonic() < deadline:
            self.run_for(min(0.05, max(0.0, deadline - time.monotonic())))
        return bool(self.refused)

    def leave(self) -> None:
        """Wait for the end of a child that was told to close."""
        self._finish()

    def restart_clock(self) -> None:
        """Count the time in which the processes of a dead owner must end from now on."""
        self.killed_at = time.monotonic()

    def left(self, gone_seconds: float) -> list[str]:
        """The processes of the owner's session that still run ``gone_seconds`` after its end; they are then killed."""
        if not _session(self.pid):
            return []
        while (pids := _session(self.pid)) and time.monotonic() < self.killed_at + gone_seconds:
            select.poll().poll(5)
        self.gone_seconds = time.monotonic() - self.killed_at
        found = []
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                found.append(
                    f"process {pid} ({psutil.Process(pid).status()}): {' '.join(psutil.Process(pid).cmdline())}"
                )
                os.kill(pid, signal.SIGKILL)
        return found

    def _finish(self) -> None:
        deadline = time.monotonic() + REPLY_SECONDS
        while self._readers and time.monotonic() < deadline:
            # A stray descriptor in another process could keep a pipe open: the end of the child counts too.
            if self._process.poll() is not None and not self._pump(time.monotonic() + 0.05):
                break
            self._pump(min(deadline, time.monotonic() + 0.05))
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(REPLY_SECONDS)
        self.killed_at = self.killed_at or time.monotonic()
        assert self._process.stderr is not None
        self._process.stderr.close()
        for fd in (self._command_fd, self._ack_fd, self._reply_fd):
            os.close(fd)

    def _pump(self, deadline: float) -> bool:
        """Wait for anything the child says and take it in; False if it said nothing before the deadline."""
        poll = select.poll()
        for fd in self._readers:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 0.999)
        for fd, _ in ready:
            if not self._readers[fd]():
                del self._readers[fd]
        return bool(ready)

    def _read_acks(self) -> bool:
        return self.acks.read(self._ack_fd)

    def _read_replies(self) -> bool:
        messages = self._messages.read(self._reply_fd)
        self._replies += messages or ()
        return messages is not None

    def _read_stderr(self) -> bool:
        assert self._process.stderr is not None
        data = os.read(self._process.stderr.fileno(), _READ_BYTES)
        self.stderr = (self.stderr + data)[-_STDERR_BYTES:]
        return bool(data)

    def _last_words(self, text: str) -> str:
        words = self.stderr.decode(errors="replace").strip()
        return f"{text}\nits last words:\n{words[-4000:]}" if words else text


def _session(leader: int) -> list[int]:
    """The living processes of a session, without those that only wait to be reaped."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def _environment(package_parent: str, bytecode: str) -> dict[str, str]:
    """This environment, in which the child finds this package."""
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join((package_parent, path)) if path else package_parent
    if environment.pop("PYTHONDONTWRITEBYTECODE", None):
        # Every child and every worker would compile the package anew, and the figures would be the compiler's.
        environment["PYTHONPYCACHEPREFIX"] = bytecode
    return environment
