"""System calls of a real owner and its worker processes fail, or kill, one after the other.

strace does it: no code of the package knows of it, and workers are reached as well. It counts the calls of each thread
of each process by itself, so the n-th of several threads may be hit in one run; what was hit is read from its log.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import DurabilityError, WorkerDiedError
from lsmproc.formats.file_names import job_output_name, manifest_name, parse_file_name, table_name, wal_name
from lsmproc.verification import verify_store
from tests.faults.traced_life import LIVES, WRITES, record
from tests.tally import Tally

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120.0
WRITING = {"put", "synced", "sync"}
_POISON = DurabilityError.__name__
_NUMBERS = range(1, 80)  # of the files that the two lives make, and more

Names = Callable[[], Iterable[str]]


def the_log() -> Iterable[str]:
    """Every segment there may be."""
    return map(wal_name, _NUMBERS)


def the_manifest() -> Iterable[str]:
    """Every manifest there may be, and what becomes CURRENT."""
    for number in _NUMBERS:
        yield manifest_name(number)
        yield f"tmp/CURRENT-{number}"


def the_directory() -> Iterable[str]:
    """The store's own, and the one above it; a call on a name in a directory counts as one on the directory."""
    return (".", "tmp", "..")


def the_first_attempts() -> Iterable[str]:
    """What flushes and compactions write when they run for the first time."""
    return _outputs(attempts=1)


def the_tables_of_workers() -> Iterable[str]:
    """What flushes and compactions write."""
    return _outputs(attempts=3)


def _outputs(attempts: int) -> Iterable[str]:
    for epoch, job, attempt in product(range(1, 2 * LIVES + 1), range(1, 16), range(1, attempts + 1)):
        yield from (job_output_name(epoch, job, attempt, output) for output in range(2))


def the_tables() -> Iterable[str]:
    """Those that the owner has taken over."""
    return map(table_name, _NUMBERS)


def anything() -> Iterable[str]:
    """All of the above."""
    for names in (the_log, the_manifest, the_directory, the_tables_of_workers, the_tables):
        yield from names()


@dataclass
class Run:
    """What one run under strace did."""

    killed: bool
    injected: list[str]
    lines: list[tuple[str, int, str]]
    errors: str
    acknowledged: set[int] = field(default_factory=set)
    uncertain: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Sort the writes by what is known of them."""
        writes = [line for line in self.lines if line[0] in {"put", "synced"}]
        for _, number, outcome in writes:
            (self.acknowledged if outcome == "ok" else self.uncertain).add(number)
        if self.killed:
            # The one that was under way, whose number may be the first of a life.
            self.uncertain.add(max(self.acknowledged | self.uncertain, default=-1) + 1)

    def outcomes(self, *steps: str) -> Counter[str]:
        """How often which outcome came of these steps."""
        return Counter(outcome for step, _, outcome in self.lines if step in steps)


def run_traced(directory: Path, calls: str, action: str, names: Names, at: int) -> Run:
    """The two lives, with ``action`` at the ``at``-th of ``calls`` on the named files by each thread."""
    strace, log, store = shutil.which("strace"), directory / "trace", directory / "store"
    assert strace is not None
    paths = [part for name in names() for part in ("-P", os.path.normpath(store / name))]
    # Without --seccomp-bpf, under which a signal comes late or not at all.
    tracing = ["-f", "-y", "-qq", "-o", str(log), "-e", f"trace={calls}", *paths]
    program = [sys.executable, "-m", "tests.faults.traced_life", str(store)]
    done = subprocess.run(
        [strace, *tracing, "-e", f"inject={calls}:{action}:when={at}", *program],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    text = log.read_text()
    # A call that kills before it returns leaves no more than its beginning, and the death.
    injected = re.findall(r".*\(INJECTED\).*|.*\+\+\+ killed by SIGKILL.*|.* = \?$", text, re.MULTILINE)
    lines = [(step, int(number), outcome) for step, number, outcome in map(str.split, done.stdout.splitlines())]
    assert done.returncode in {0, -signal.SIGKILL}, f"{at}: {done.returncode} {done.stderr} {lines[-5:]}"
    killed = done.returncode != 0
    assert killed or lines[-1] == ("end", 0, "ok"), f"{at}: {done.stderr} {lines[-5:]}"
    return Run(killed, injected, lines, done.stderr)


def check_calls(run: Run, where: str) -> None:
    """Reads fail only where a table cannot be opened; after a failed sync of the log no write of that life is taken."""
    assert set(run.outcomes("read")) <= ({"ok", "StorageError"} if "EMFILE" in where else {"ok"}), where
    poisoned = False
    for step, number, outcome in run.lines:
        if step == "open":
            poisoned = False
        elif step in WRITING:
            assert not poisoned or outcome == _POISON, f"{where}: {step} {number} {outcome} after a failed sync"
            poisoned = poisoned or outcome == _POISON


def check_store(store: Path, run: Run, where: str) -> None:
    """Without faults: sound before and after it is opened, everything acknowledged is there, no file is too many."""
    if not (store / "CURRENT").exists():
        assert run.killed, where
        assert set() == run.acknowledged, where
        return
    assert [] == verify_store(str(store)).problems, where
    config = LSMConfig.from_options(store, wal_sync="none", memtable_max_bytes=1 << 16)
    with LSMStore(config, env=Env(background="inline")) as db:
        shown = dict(db.range())
        assert {**shown, **dict(map(record, run.acknowledged))} == shown, where
        assert shown.items() <= dict(map(record, run.acknowledged | run.uncertain)).items(), where
        db.put(b"after", b"x")
    with LSMStore(config, env=Env(background="inline")) as db:
        assert {**shown, b"after": b"x"} == dict(db.range()), where
        live = {file.name for file in db.live_files()}
    names = [path.name for path in store.iterdir() if parse_file_name(path.name)]
    assert live == {name for name in names if name.endswith(".sst")}, where
    assert 1 == sum(name.startswith("MANIFEST") for name in names), where
    assert [] == list((store / "tmp").iterdir()), where
    report = verify_store(str(store))
    assert [] == report.problems, where


@dataclass(frozen=True)
class Fault:
    """Calls, on which files, and what becomes of them; ``sample`` are the numbers of the quick form."""

    name: str
    calls: str
    action: str
    names: Names
    sample: tuple[int, ...]
    refused: bool = True  # whether some call of the program must have raised

    def __str__(self) -> str:
        """For the test's name."""
        return self.name


SYNCS = [
    Fault("owner's log", "fdatasync", "error=EIO", the_log, (1, 5, 9, 17)),
    Fault("owner's manifest", "fdatasync", "error=EIO", the_manifest, (1, 2, 3), refused=False),
    Fault("directory", "fsync", "error=EIO", the_directory, (1, 2, 4), refused=False),
    Fault("worker's table", "fdatasync", "error=EIO", the_tables_of_workers, (1, 2), refused=False),
]
KILLS = [
    Fault("rename", "rename,renameat,renameat2", "signal=SIGKILL", anything, (1, 2)),
    Fault("unlink", "unlink,unlinkat", "signal=SIGKILL", anything, (1, 2)),
    Fault("open", "openat", "signal=SIGKILL", anything, (7, 12)),
    Fault("size", "ftruncate,fallocate", "signal=SIGKILL", anything, (2, 3)),
    Fault("sync", "fsync,fdatasync", "signal=SIGKILL", anything, (1, 3)),
    Fault("sync of a manifest", "fdatasync", "signal=SIGKILL", the_manifest, (2,)),
    Fault("sync of a table", "fdatasync", "signal=SIGKILL", the_first_attempts, (1,)),
]
REFUSALS = [
    Fault("no space for a segment", "fallocate", "error=ENOSPC", the_log, (1, 2, 3), refused=False),
    Fault("no directory made", "mkdir,mkdirat", "error=EACCES", the_directory, (1, 2)),
    Fault("no rename", "rename,renameat,renameat2", "error=EIO", anything, (1, 2)),
    Fault("no removal", "unlink,unlinkat", "error=EPERM", anything, (1, 3), refused=False),
    Fault("no descriptor", "openat", "error=EMFILE", anything, (2, 6, 11)),
]


@pytest.fixture(scope="module")
def strace(tally: Tally) -> Callable[[str, int], None]:
    """To be called with what is tried and how often: skips the test where strace is missing or may not trace."""
    program = shutil.which("strace")
    options = ["-f", "-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"]
    usable = program is not None and not subprocess.run([program, *options, "true"], check=False).returncode

    def needed(what: str, number: int) -> None:
        if not usable:
            tally.skip(what, number, "strace is not installed, or may not trace")

    return needed


def each_run(directory: Path, fault: Fault, *, full: bool) -> Iterable[tuple[Run, str]]:
    """Every run that was hit, with its name, after the checks that hold for all of them."""
    for at in count(1) if full else fault.sample[:1]:
        place = directory / str(at)
        place.mkdir()
        run = run_traced(place, fault.calls, fault.action, fault.names, at)
        where = f"{fault.name} {at}: {run.injected}"
        check_calls(run, where)
        check_store(place / "store", run, where)
        shutil.rmtree(place)
        if run.injected:
            yield run, where
        elif full:
            assert WRITES * LIVES < len(run.acknowledged)
            return


@pytest.mark.parametrize("fault", SYNCS, ids=str)
def test_a_sync_that_fails_in_any_process_costs_nothing_acknowledged(
    scratch: Path, tally: Tally, full: bool, strace: Callable[[str, int], None], fault: Fault
) -> None:
    """In the owner's log it ends the writes of that life; in a worker the job is done again, and no write hears."""
    strace(f"failed syncs, {fault.name}", len(fault.sample[:1]))
    poisoned = hit = 0
    for run, where in each_run(scratch, fault, full=full):
        hit += 1
        tally.add(f"failed syncs, {fault.name}", len(run.injected))
        assert not run.killed, where
        poisoned += _POISON in run.outcomes(*WRITING)
        if fault.names is the_tables_of_workers:
            assert {"ok"} == set(run.outcomes(*WRITING, "open", "idle", "close")), where
        if fault.names is the_log:
            assert {"ok"} != set(run.outcomes(*WRITING, "open", "close")), f"{where}: nobody was told"
    assert hit >= (2 if full else 1)
    if fault.names is the_log:
        assert poisoned >= hit // 2


@pytest.mark.parametrize("fault", KILLS, ids=str)
def test_a_kill_at_any_call_loses_nothing_acknowledged(
    scratch: Path, tally: Tally, full: bool, strace: Callable[[str, int], None], fault: Fault
) -> None:
    """Owner or worker: the process dies before the call is made."""
    strace(f"kills by a call, {fault.name}", len(fault.sample[:1]))
    hit = 0
    workers = fault.names is the_first_attempts
    for run, where in each_run(scratch, fault, full=full):
        hit += run.killed is not workers
        tally.add(f"kills by a call, {fault.name}, {'owner' if run.killed else 'worker'}")
        if not run.killed:
            # Each worker may have died so, and with the third the job is given up.
            expected = {"ok"} if workers else {"ok", WorkerDiedError.__name__}
            assert expected >= set(run.outcomes(*WRITING, "open", "idle", "close")), where
    assert 0 < hit


def test_a_job_whose_every_worker_is_killed_ends_the_writes_and_loses_nothing(
    scratch: Path, tally: Tally, strace: Callable[[str, int], None]
) -> None:
    """Writes say that workers die, reads go on, and a store that is opened again works again."""
    fault = Fault("every sync of a table", "fdatasync", "signal=SIGKILL", the_tables_of_workers, (1,))
    strace("jobs whose every worker is killed", LIVES)
    for run, where in each_run(scratch, fault, full=False):
        assert not run.killed, where
        assert 3 * LIVES <= sum("+++ killed" in line for line in run.injected), where
        assert {"ok", WorkerDiedError.__name__} == set(run.outcomes(*WRITING)), where
        tally.add("jobs whose every worker is killed", LIVES)


@pytest.mark.parametrize("fault", REFUSALS, ids=str)
def test_a_refused_call_costs_nothing_acknowledged(
    scratch: Path, tally: Tally, full: bool, strace: Callable[[str, int], None], fault: Fault
) -> None:
    """The call fails once in each thread; the store says so, or does without."""
    strace(f"refused calls, {fault.name}", len(fault.sample[:1]))
    hit = told = 0
    for run, where in each_run(scratch, fault, full=full):
        hit += 1
        tally.add(f"refused calls, {fault.name}", len(run.injected))
        assert not run.killed, where
        told += any(outcome != "ok" for _, _, outcome in run.lines)
    assert 0 < hit
    assert 0 < told or not fault.refused
