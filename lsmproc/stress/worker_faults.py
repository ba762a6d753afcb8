"""What happens to workers: killed, stopped for a while, handed a damaged log. None of it may reach the application."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from lsmproc.formats.file_names import wal_name
from lsmproc.storage.file_system import READ_WRITE, PosixFileSystem
from lsmproc.stress.oracle import Problem
from lsmproc.stress.owner_under_test import OwnerUnderTest

_FIND_SECONDS = 20.0
_POLL_SECONDS = 0.002
_IDLE_RESTART_SECONDS = 10.0  # an idle worker is missed only when there is work


@dataclass(frozen=True, slots=True)
class Victim:
    """A worker that was chosen, and what every worker of its kind was doing then."""

    kind: str
    pid: int
    state: str
    before: list[dict[str, Any]]

    def __str__(self) -> str:
        """For the line of the cycle."""
        return f"{self.kind}:{self.state}"


def choose_worker(owner: OwnerUnderTest, kind: str, chance: Random) -> Victim | None:
    """A living worker of ``kind``, in most cases a busy one; None if the load needed none within a few seconds."""
    wants_busy = chance.random() < 0.8
    deadline = time.monotonic() + _FIND_SECONDS
    while time.monotonic() < deadline:
        workers = workers_of(owner, kind)
        living = [each for each in workers if each["pid"] is not None]
        fitting = [each for each in living if each["state"] == "busy"] if wants_busy else living
        if fitting:
            chosen = chance.choice(fitting)
            return Victim(kind, chosen["pid"], chosen["state"], workers)
        owner.run_for(_POLL_SECONDS)
    return None


def kill_worker(owner: OwnerUnderTest, victim: Victim, slow_seconds: float) -> tuple[float, list[Problem]]:
    """Kill a worker; seconds until the next job of its kind runs, and a problem if a waiting one took too long."""
    _signal(victim.pid, signal.SIGKILL)
    killed = time.monotonic()
    limit = slow_seconds if victim.state == "busy" else max(slow_seconds, _IDLE_RESTART_SECONDS)
    while True:
        seconds = time.monotonic() - killed
        if _works_again(workers_of(owner, victim.kind), victim):
            break
        if seconds > max(slow_seconds, _IDLE_RESTART_SECONDS):
            return seconds, [Problem("slow", f"no {victim.kind} job ran within {seconds:.1f} s of a worker's death")]
        owner.run_for(_POLL_SECONDS)
    if seconds > limit:
        return seconds, [Problem("slow", f"the next {victim.kind} job began {seconds:.2f} s after a worker's death")]
    return seconds, []


def stop_worker(victim: Victim) -> None:
    """SIGSTOP: the worker is there and does nothing."""
    _signal(victim.pid, signal.SIGSTOP)


def continue_worker(victim: Victim) -> None:
    """SIGCONT."""
    _signal(victim.pid, signal.SIGCONT)


def damage_sealed_log(owner: OwnerUnderTest, victim: Victim, path: str, chance: Random) -> list[Problem] | None:
    """Stop the flush worker, wait for a sealed segment it has not read, flip a byte of that, let the worker go on.

    Returns what was wrong, or None if there was nothing to damage.
    """
    stop_worker(victim)
    try:
        # The oldest segment may be in the worker's hands already, so the one behind it is taken.
        deadline = time.monotonic() + _FIND_SECONDS
        while len(segments := owner.ask("sealed", "sealed")["segments"]) < 2:
            if time.monotonic() >= deadline:
                return None
            owner.run_for(_POLL_SECONDS)
        number, end = segments[1]
        _flip(path, wal_name(number), chance.randrange(64, end))
    finally:
        continue_worker(victim)
    deadline = time.monotonic() + _FIND_SECONDS
    while any(segment == number for segment, _ in owner.ask("sealed", "sealed")["segments"]):
        if time.monotonic() >= deadline:
            return [Problem("slow", f"the memtable of the damaged segment {number} was not flushed")]
        owner.run_for(_POLL_SECONDS)
    return []


def workers_of(owner: OwnerUnderTest, kind: str) -> list[dict[str, Any]]:
    """The workers of a kind, as the store reports them."""
    return [each for each in owner.ask("workers", "workers")["workers"] if each["kind"] == kind]


def _works_again(workers: list[dict[str, Any]], victim: Victim) -> bool:
    """Whether a job of the kind has begun since the kill."""
    before = {each["name"]: each for each in victim.before}
    return any(_began_a_job(each, before.get(each["name"])) for each in workers if each["pid"] != victim.pid)


def _began_a_job(now: dict[str, Any], then: dict[str, Any] | None) -> bool:
    """Whether a worker runs a job that it did not run ``then``, or has done more than it was doing."""
    busy: bool = now["state"] == "busy"
    if then is None or then["pid"] != now["pid"]:
        return busy or bool(now["jobs_done"] > (then["jobs_done"] if then else 0))
    done: int = now["jobs_done"] - then["jobs_done"]
    was_busy: bool = then["state"] == "busy"
    return done > was_busy or (busy and (done > 0 or not was_busy))


def _flip(path: str, name: str, offset: int) -> None:
    fs = PosixFileSystem(path)
    try:
        fd = fs.open(name, READ_WRITE)
        try:
            fs.write_all(fd, bytes([fs.pread(fd, 1, offset)[0] ^ 0xFF]), offset)
        finally:
            fs.close(fd)
    finally:
        fs.shut()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
