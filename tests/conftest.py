"""What every test must keep: no process, no thread and no descriptor of this package outlives it.

``pytest --full`` runs the exhaustive suites in their long form, about an hour; what they counted is printed at the end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import psutil
import pytest

from tests.tally import Tally

LEAK_GRACE_SECONDS = 2.0  # what has been told to end may take this long
STAND_INS = Path(__file__).parent / "stand_ins"

Eventually = Callable[..., None]

_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long form of the exhaustive suites."""
    parser.addoption("--full", action="store_true", help="every byte, every operation, every kill: about an hour")


def pytest_configure(config: pytest.Config) -> None:
    """One tally for the run; no deadlines for properties, because machines are busy; and an interrupt that counts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts a run in the background has it ignore interrupts, and every program under test with it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_TALLY] = Tally()
    hypothesis.settings.register_profile("lsmproc", deadline=None)
    hypothesis.settings.load_profile("lsmproc")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``-n``, a process that ran a part of the tests hands its tally to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tally"] = session.config.stash[_TALLY].state()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add the tally of such a process. One that died has none, and its test has failed."""
    if (state := getattr(node, "workeroutput", {}).get("tally")) is not None:
        node.config.stash[_TALLY].merge(state)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was checked."""
    if lines := terminalreporter.config.stash[_TALLY].lines():
        terminalreporter.section("how much was checked")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Where an exhaustive suite counts what it has checked, or could not."""
    return pytestconfig.stash[_TALLY]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail the test that leaves a child process, a thread or a descriptor of a store behind, and clean up after it."""
    children, threads, descriptors = _children(), set(threading.enumerate()), _descriptors()
    yield
    left = [*_left_children(children), *_left_threads(threads), *_left_descriptors(descriptors)]
    assert [] == left


@pytest.fixture
def stand_in_jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A runner module whose jobs do what a test asks, in place of flushes and compactions; workers find it too."""
    monkeypatch.syspath_prepend(STAND_INS)
    return importlib.import_module("lsmproc_stand_in_jobs")


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds; fail with its last state once a deadline has passed."""

    def wait(condition: Callable[[], object], timeout: float = 20.0, what: str = "") -> None:
        pause = threading.Event()
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or condition}"
            pause.wait(0.002)

    return wait


def _children() -> set[int]:
    """Process ids of the direct children; from the kernel's own list where there is one, which is far cheaper."""
    try:
        lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    except FileNotFoundError:
        return {child.pid for child in psutil.Process().children()}
    return {int(pid) for pids in lists for pid in pids.split()}


def _left_children(before: set[int]) -> list[str]:
    left = _children() - before
    if not left:
        return []
    processes = []
    for pid in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(processes, timeout=LEAK_GRACE_SECONDS)
    found = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(f"process {process.pid}: {process.cmdline()}")
            process.send_signal(signal.SIGKILL)
            process.wait(LEAK_GRACE_SECONDS)
    return found


def _left_threads(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + LEAK_GRACE_SECONDS
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name}" for thread in left if thread.is_alive()]


def _descriptors() -> dict[int, str]:
    """What each open descriptor of this process stands for: pipes, and files and directories of stores."""
    found = {}
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []:
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if not target.startswith(("/dev/", "/proc/", "socket:", "anon_inode:[event")):
                found[int(name)] = target
    return found


def _left_descriptors(before: dict[int, str]) -> list[str]:
    left = _descriptors().items() - before.items()
    if left:
        # Objects in reference cycles give their descriptors back when they are collected.
        gc.collect()
        left = _descriptors().items() - before.items()
    return [f"descriptor {fd}: {target}" for fd, target in sorted(left)]
