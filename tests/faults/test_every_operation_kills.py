"""The process dies at each operation on the disk in a store's life, a worker at each of its own, and recoveries die.

A death leaves what the kernel was given: nothing written is lost, so all that was acknowledged must be there again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from tests.faults.faulty_file_system import FaultPlan, Killed
from tests.faults.hurried_store import hurried
from tests.faults.scripted_life import Program, Seams, State, check_reopened, script
from tests.tally import Tally

Moment = Literal["before", "half", "after"]

MOMENTS: tuple[Moment, ...] = ("before", "half", "after")
FOR_EVER = 1 << 60
_QUICK_STRIDE = 37
_RECOVERY_OPERATIONS = 40  # about as many as a recovery does, and some of the work behind it

OPTIONS = [
    {"wal_sync": sync, "manifest": manifest}
    for sync, manifest in product(("none", "interval", "every_write"), ("log", "snapshot"))
]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What callbacks have let out; and a store in a hurry."""
    with hurried(monkeypatch) as records:
        yield records


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ["everybody", "flush", "compaction"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_at_any_operation_loses_nothing_acknowledged(
    scratch: Path, loud: list[str], full: bool, tally: Tally, moment: Moment, who: str
) -> None:
    """Owner and jobs end at once; the next open shows every acknowledged write, and the one under way whole or not."""
    stride = 1 if full else _QUICK_STRIDE if who == "everybody" else 11
    for number, options in enumerate(OPTIONS):
        for at in count((number * stride + MOMENTS.index(moment) * 3) // len(OPTIONS), stride):
            plan = FaultPlan(at, moment=moment)
            program = die(scratch / "store", plan, Seams.dying(plan, who), options)
            if not plan.killed:
                break
            named_check(scratch / "store", program.possible, options, plan)
            tally.add(
                "deaths of the owner at an operation" if who == "everybody" else f"deaths of the owner in a {who}"
            )
        shutil.rmtree(scratch / "store", ignore_errors=True)
    assert [] == loud


@pytest.mark.timeout(900)
@pytest.mark.parametrize("times", [1, FOR_EVER], ids=["once", "at every attempt"])
@pytest.mark.parametrize("who", ["flush", "compaction"])
def test_a_worker_that_dies_at_any_operation_of_its_job_costs_an_attempt(
    scratch: Path, loud: list[str], full: bool, tally: Tally, who: str, times: int
) -> None:
    """The job is done again, without a trace of the dead attempt; one that always kills ends in an error, no loss."""
    for options, moment in product(OPTIONS if full else OPTIONS[:1], MOMENTS):
        for at in count():
            plan = FaultPlan(at, times, moment=moment)
            program = Program(scratch / "store", Seams.failing(plan, who), plan, **options)
            try:
                for step in script():
                    if times == 1:
                        assert program.once(step), program.errors
                    else:
                        program.once(step)
                    # The owner cleans up behind its workers: not only the next opening does.
                    assert [] == list((scratch / "store" / "tmp").iterdir())
                program.once(Program.close)
                assert set() == plan.descriptors
                assert [] == loud
                check_reopened(scratch / "store", program.possible, **options)
            except BaseException as error:
                error.add_note(f"a {who} died {moment} operation {at} with {options}: {plan.operations[: at + 1]}")
                raise
            shutil.rmtree(scratch / "store")
            if not plan.reached:
                break
            tally.add(f"deaths of a {who} worker at an operation, {'once' if times == 1 else 'at every attempt'}")


@pytest.mark.timeout(900)
def test_deaths_one_after_the_other_in_recovery_lose_nothing(
    scratch: Path, loud: list[str], full: bool, tally: Tally
) -> None:
    """A death in the life, a second in the recovery that follows, and a third in the next: all is there in the end."""
    rng = Random(20251)
    directory = scratch / "store"
    for options in OPTIONS:
        for at in count(0 if full else rng.randrange(30), 1 if full else 90):
            first = FaultPlan(at, moment=rng.choice(MOMENTS))
            program = die(directory, first, Seams.failing(first, "everybody"), options)
            if not first.killed:
                break
            shutil.copytree(directory, scratch / "dead")
            # Every operation of the second recovery, over all; of each death only some.
            for second_at in range(at % 5, _RECOVERY_OPERATIONS, 13 if full else 5):
                plans = [FaultPlan(second_at, moment=rng.choice(MOMENTS))]
                recover_and_die(directory, plans[0], program.possible, options)
                plans.append(FaultPlan(rng.randrange(_RECOVERY_OPERATIONS), moment=rng.choice(MOMENTS)))
                recover_and_die(directory, plans[1], program.possible, options)
                named_check(directory, program.possible, options, first, *plans)
                tally.add("chains of three deaths")
                shutil.copytree(scratch / "dead", directory)
            shutil.rmtree(scratch / "dead")
            shutil.rmtree(directory)
        shutil.rmtree(directory, ignore_errors=True)
    assert [] == loud


def die(directory: Path, plan: FaultPlan, seams: Seams, options: dict[str, str]) -> Program:
    """Live the script until the plan kills, or to its end."""
    program = Program(directory, seams, **options)
    try:
        for step in script():
            assert program.once(step), program.errors
    except Killed:
        program.forget()
        plan.give_back()
    except BaseException as error:
        error.add_note(f"before the death at operation {plan.at} of {options}: {plan.operations[-8:]}")
        raise
    return program


def recover_and_die(directory: Path, plan: FaultPlan, possible: list[State], options: dict[str, str]) -> None:
    """Open, read all, flush and compact until the plan kills; without a change to what is stored."""
    program = Program(directory, Seams.failing(plan, "everybody"), **options)
    program.possible = possible
    try:
        for step in (Program.open, Program.sync, Program.flush, Program.close):
            assert program.once(step), program.errors
    except Killed:
        program.forget()
        plan.give_back()


def named_check(directory: Path, possible: list[State], options: dict[str, str], *plans: FaultPlan) -> None:
    """Open what is left, and compare; then remove it."""
    try:
        if directory.exists():
            check_reopened(directory, possible, **options)
            shutil.rmtree(directory)
    except BaseException as error:
        error.add_note(f"with {options}")
        for plan in plans:
            error.add_note(f"killed {plan.moment} operation {plan.at}, the last of {plan.operations[-8:]}")
        raise
