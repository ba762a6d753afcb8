"""What must be durable first is synced first: in each form of a store's life, and in a traced run with its workers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsmproc.stress.disk_model import Disk
from tests.faults.hurried_store import hurried
from tests.faults.operation_order import TRACED, Step, judged, steps_of_journal, steps_of_trace
from tests.faults.scripted_life import Program, Seams, script
from tests.tally import Tally

_TRACED_PROGRAM = """
import sys, lsmproc
options = {"memtable_max_bytes": 65536, "level0_compaction_trigger": 2, "manifest": sys.argv[2]}
for _ in range(2):
    with lsmproc.open(sys.argv[1], **options) as db:
        for number in range(1200):
            db.put(b"%05d" % (number * 7919 % 3000), b"v" * 200)
        db.put(b"s", b"1", sync=True)
        db.flush_memtable(timeout=60)
        db.compact_range(timeout=60)
        db.wait_idle(timeout=60)
"""
_TRACED_SECONDS = 100


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The manifest rolls early."""
    with hurried(monkeypatch):
        yield


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
@pytest.mark.parametrize("wal_sync", ["none", "interval", "every_write"])
def test_each_operation_of_a_life_comes_after_what_it_relies_on(
    scratch: Path, hurry: None, tally: Tally, wal_sync: str, manifest: str
) -> None:
    """The scripted life: renames, edits, switches of CURRENT and removals wait for the syncs before them."""
    disk = Disk()
    seams = Seams(disk.open_file_system, disk.open_file_system, disk.open_file_system)
    program = Program(scratch / "store", seams, wal_sync=wal_sync, manifest=manifest)
    for step in script():
        assert program.once(step), program.errors
    steps = list(steps_of_journal(disk.journal))
    judge = judged(steps)
    assert [] == judge.complaints
    assert 10 < sum(step.kind == "rename" for step in steps)
    tally.add("operations of a life in order", judge.steps)


@pytest.mark.parametrize("manifest", ["log", "snapshot"])
def test_each_operation_of_owner_and_workers_comes_after_what_it_relies_on(
    scratch: Path, tally: Tally, manifest: str
) -> None:
    """A real run under strace, flushes and compactions in processes of their own."""
    strace = shutil.which("strace")
    trace, store = scratch / "trace", scratch / "store"
    options = ["-f", "-y", "-qq", "--seccomp-bpf", "-s", "200", "-o", str(trace), "-e", f"trace={TRACED}"]
    if strace is None or subprocess.run([strace, *options, "true"], capture_output=True, check=False).returncode:
        tally.skip("traced runs of owner and workers", 1, "strace is not installed, or may not trace")
    program = [sys.executable, "-W", "error", "-c", _TRACED_PROGRAM, str(store), manifest]
    done = subprocess.run(
        [strace, *options, *program],
        capture_output=True,
        text=True,
        timeout=_TRACED_SECONDS,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (0, "") == (done.returncode, done.stderr)
    steps = list(steps_of_trace(trace.read_text().splitlines(), store))
    judge = judged(steps)
    assert [] == judge.complaints
    # The trace was understood: the owner switched CURRENT and adopted tables that other processes have written.
    renames = [step for step in steps if step.kind == "rename"]
    owners = {step.process for step in renames}
    writers = {step.process for step in steps if step.kind == "write" and step.name.startswith("tmp/1-")}
    assert 2 <= sum(step.target == "CURRENT" for step in renames)
    assert 10 < sum(step.target.endswith(".sst") for step in renames)
    assert writers
    assert owners.isdisjoint(writers)
    assert {step.process for step in steps if step.kind == "sync"} >= writers
    tally.add("operations of traced processes in order", judge.steps)


TABLE = [Step("create", "tmp/1-1-1-0.sst"), Step("write", "tmp/1-1-1-0.sst"), Step("sync", "tmp/1-1-1-0.sst")]
ADOPTED = [*TABLE, Step("rename", "tmp/1-1-1-0.sst", "000004.sst"), Step("sync", ".")]
MANIFEST = [Step("create", "MANIFEST-000002"), Step("write", "MANIFEST-000002"), Step("sync", "MANIFEST-000002")]
NEXT = [
    Step("create", "tmp/CURRENT-2"),
    Step("write", "tmp/CURRENT-2", text="MANIFEST-000002 12345678"),
    Step("sync", "tmp/CURRENT-2"),
]
SWITCH = Step("rename", "tmp/CURRENT-2", "CURRENT")
LIVE = [*MANIFEST, *NEXT, Step("sync", "."), SWITCH, Step("sync", ".")]
SEGMENT = [Step("create", "000001.wal"), Step("write", "000001.wal"), Step("sync", "000001.wal")]
EDIT = [Step("write", "MANIFEST-000002"), Step("sync", "MANIFEST-000002")]
GONE = Step("unlink", "000001.wal")
PROMISE = Step("write", "000001.wal", text="\x93SYNCED\x93")


@pytest.mark.parametrize(
    "steps",
    [
        [*TABLE[:2], Step("rename", "tmp/1-1-1-0.sst", "000004.sst")],
        [*TABLE[:2], Step("sync", "tmp/1-1-1-0.sst", since=1), Step("rename", "tmp/1-1-1-0.sst", "000004.sst")],
        [*LIVE, *ADOPTED[:-1], *EDIT],
        [*LIVE, *ADOPTED[:-1], Step("sync", "tmp"), *EDIT],
        [*MANIFEST[:2], *NEXT, Step("sync", "."), SWITCH],
        [*MANIFEST, *NEXT, SWITCH],
        [*MANIFEST, *NEXT[:2], Step("sync", "."), SWITCH],
        [*SEGMENT, *LIVE[:-1], GONE],
        [*SEGMENT, *LIVE, *ADOPTED, EDIT[0], GONE],
        [*SEGMENT, *LIVE, *ADOPTED[:-1], GONE],
        [*SEGMENT, PROMISE],
    ],
    ids=[
        "a table renamed unsynced",
        "... or synced before its last write",
        "an edit before the directory",
        "... or with another directory synced",
        "CURRENT before the manifest",
        "CURRENT before the manifest's name",
        "CURRENT itself unsynced",
        "a removal before the switch is durable",
        "a removal before the edit is",
        "a removal before a rename is",
        "a promise before the name",
    ],
)
def test_the_judge_complains_of_what_comes_too_early(steps: list[Step]) -> None:
    """Each rule has a sequence that breaks it, and only it."""
    assert 1 == len(judged(steps).complaints)


def test_the_judge_has_nothing_against_the_right_order() -> None:
    """The same steps, all of them, in their order."""
    steps = [*SEGMENT, *LIVE, PROMISE, *ADOPTED, *EDIT, Step("write", "MANIFEST-000002", text="SYNCED"), GONE]
    assert [] == judged(steps).complaints


def test_a_call_that_another_process_interrupts_counts_once() -> None:
    """A trace cuts calls in two when processes take turns: a write counts from its start, a sync from its end."""
    trace = """
7 openat(3</d/s>, "tmp/1-1-1-0.sst", O_RDWR|O_CREAT|O_EXCL, 0600 <unfinished ...>
8 openat(3</d/s>, "000009.sst", O_RDONLY) = -1 ENOENT (No such file or directory)
7 <... openat resumed>) = 5</d/s/tmp/1-1-1-0.sst>
7 pwrite64(5</d/s/tmp/1-1-1-0.sst>, "a\\"b", 3, 0) = 3
7 fdatasync(5</d/s/tmp/1-1-1-0.sst> <unfinished ...>
8 fsync(4</d/s>) = 0
7 <... fdatasync resumed>) = 0
8 renameat(3</d/s>, "tmp/1-1-1-0.sst", 3</d/s>, "000004.sst") = 0
8 unlinkat(3</d/other>, "x", 0) = 0
"""
    name = "tmp/1-1-1-0.sst"
    assert [
        Step("create", name, process=7),
        Step("write", name, text='5</d/s/tmp/1-1-1-0.sst>, "a\\"b", 3, 0) = 3', process=7),
        Step("sync", ".", since=2, process=8),
        Step("sync", name, since=2, process=7),
        Step("rename", name, "000004.sst", process=8),
    ] == list(steps_of_trace(trace.splitlines(), Path("/d/s")))
