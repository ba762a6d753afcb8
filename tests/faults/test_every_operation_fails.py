"""Each operation on the disk in a store's life fails, once or for ever: nothing acknowledged is lost, nothing leaks."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.faults.faulty_file_system import READS, WRITES, FaultPlan
from tests.faults.hurried_store import hurried
from tests.faults.scripted_life import Program, Seams, check_reopened, script
from tests.tally import Tally

FOR_EVER = 1 << 60
_QUICK_STRIDE = 53
_QUICK_JOB_STRIDE = 11

OPTIONS = [
    {"wal_sync": sync, "manifest": manifest}
    for sync, manifest in product(("none", "interval", "every_write"), ("log", "snapshot"))
]


@dataclass(frozen=True)
class Fault:
    """What happens to an operation."""

    name: str
    error: int
    kinds: frozenset[str] = WRITES
    begins_short: bool = False

    def plan(self, at: int, times: int) -> FaultPlan:
        """Happen to the operation ``at``, and to as many."""
        return FaultPlan(at, times, self.error, self.kinds, begins_short=self.begins_short)


FAULTS = [
    Fault("EIO", errno.EIO),
    Fault("ENOSPC", errno.ENOSPC),
    Fault("a short write", errno.ENOSPC, begins_short=True),
    Fault("EIO on a read", errno.EIO, READS),
]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What callbacks have let out; and a store in a hurry."""
    with hurried(monkeypatch) as records:
        yield records


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("who", ["everybody", "flush", "compaction"])
def test_an_operation_that_fails_once_costs_an_attempt_and_nothing_else(
    scratch: Path, loud: list[str], full: bool, tally: Tally, fault: Fault, who: str
) -> None:
    """Every step is done in the end, at its second attempt or behind a reopening; what was acknowledged is shown."""
    for options, at in _operations(scratch, who, fault, full=full):
        plan = fault.plan(at, 1)
        program = _lived(scratch, plan, who, options, fault)
        with _naming(plan, options):
            assert plan.reached
            _check_single(program, plan, fault)
            _check_after(scratch, program, plan, loud, options)
        tally.add(f"operations that failed once, {fault.name}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("who", ["everybody", "flush", "compaction"])
def test_operations_that_fail_for_ever_lose_nothing_acknowledged(
    scratch: Path, loud: list[str], full: bool, tally: Tally, fault: Fault, who: str
) -> None:
    """From the k-th operation on all fail: calls return or raise our errors, reads go on, and the next open has all."""
    for options, at in _operations(scratch, who, fault, full=full):
        plan = fault.plan(at, FOR_EVER)
        program = _lived(scratch, plan, who, options, fault)
        with _naming(plan, options):
            assert plan.reached
            _check_after(scratch, program, plan, loud, options)
        tally.add(f"operations that failed from there on, {fault.name}")


def _operations(scratch: Path, who: str, fault: Fault, *, full: bool) -> Iterator[tuple[dict[str, str], int]]:
    """Options, and each operation of the life with them that is to fail; in the quick form some, spread evenly."""
    stride = 1 if full else _QUICK_STRIDE if who == "everybody" else _QUICK_JOB_STRIDE
    for number, options in enumerate(OPTIONS[::2] if fault.kinds is READS or who != "everybody" else OPTIONS):
        healthy = fault.plan(FOR_EVER, 0)
        _lived(scratch, healthy, who, options, fault)
        shutil.rmtree(scratch / "store")
        # Only a write can be cut short; anything else would be a full disk one operation later.
        names = enumerate(healthy.operations)
        wanted = [at for at, name in names if not fault.begins_short or name.startswith("pwrite")]
        yield from ((options, at) for at in wanted[number * stride // len(OPTIONS) :: stride])


def _lived(scratch: Path, plan: FaultPlan, who: str, options: dict[str, str], fault: Fault) -> Program:
    """Live the script under the plan."""
    program = Program(scratch / "store", Seams.failing(plan, who), **options)
    program.reads_may_fail = fault.kinds is READS
    with _naming(plan, options):
        for step in script():
            if plan.count == 1:
                program.through(step)
            else:
                program.once(step)
        program.once(Program.close)
    return program


def _check_single(program: Program, plan: FaultPlan, fault: Fault) -> None:
    """A failed sync of the log is final; a full disk costs no reopening, unless the error asks for one."""
    failed = plan.operations[(plan.at or 0) + plan.begins_short]
    if failed.startswith("fdatasync") and failed.endswith(".wal"):
        assert program.was_poisoned, program.errors
    if fault.error == errno.ENOSPC and not program.was_poisoned:
        asked = [error for error in program.errors if "open the store again" in str(error)]
        assert bool(asked) == bool(program.reopenings), program.errors
    assert 1 == len(program.possible) or program.was_poisoned


def _check_after(scratch: Path, program: Program, plan: FaultPlan, loud: list[str], options: dict[str, str]) -> None:
    """Nothing is left open, nothing was let out, and a healthy disk shows what was promised."""
    assert set() == plan.descriptors
    assert [] == loud
    if (scratch / "store").exists():
        check_reopened(scratch / "store", program.possible, **options)
        shutil.rmtree(scratch / "store")


class _naming:  # noqa: N801 - reads as a statement
    """Say where it failed."""

    def __init__(self, plan: FaultPlan, options: dict[str, str]) -> None:
        self._plan = plan
        self._options = options

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Add a note to whatever is raised."""
        if error is not None:
            at = self._plan.at or 0
            before = self._plan.operations[max(0, at - 8) : at + 1]
            error.add_note(f"operation {at} of {self._options}; up to it: {before}")
