"""Files are damaged between two owners: the next one notices, or shows nothing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import lsmproc
from lsmproc.errors import CorruptionError
from lsmproc.stress.file_damage import damage_store
from lsmproc.stress.oracle import Oracle
from lsmproc.stress.report import StressReport
from tests.crash.stream import COUNT, SEED, SHAPE, acks_of, records_after, stream
from tests.tally import Tally

RunPlan = Callable[..., StressReport]

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "gave up": 0, "errors": 0}


def judge(found: dict[bytes, bytes], *, torn: bool, unreadable: tuple[bytes, ...] = ()) -> tuple[bool, set[str]]:
    """What an oracle says of a damaged copy after COUNT operations: whether something is missing, and what is wrong."""
    missing, problems = Oracle(SEED, SHAPE).judge_damaged(1, acks_of(COUNT), found, unreadable, torn=torn)
    return missing, {problem.kind for problem in problems}


def values_after(count: int) -> dict[bytes, bytes]:
    """What a store holds after so many operations."""
    return {key: value for key, (_, value, _) in records_after(stream()[:count]).items()}


def test_everything_that_is_there_is_right() -> None:
    """The byte meant nothing."""
    assert (False, set()) == judge(values_after(COUNT), torn=False)


def test_a_prefix_is_right_only_if_the_log_was_damaged() -> None:
    """A table that lacks its newest records is no torn tail."""
    assert (True, set()) == judge(values_after(COUNT - 20), torn=True)
    assert "lost" in judge(values_after(COUNT - 20), torn=False)[1]


def test_what_cannot_be_read_is_not_missing_and_all_the_rest_must_be_right() -> None:
    """An error for a block is an answer; an older value beside it is not."""
    found = values_after(COUNT)
    hidden = tuple(sorted(found)[:3])
    left = {key: value for key, value in found.items() if key not in hidden}
    assert (False, set()) == judge(left, torn=False, unreadable=hidden)
    assert judge(left, torn=False, unreadable=hidden[:2])[1]
    assert judge({**left, max(left): b"older"}, torn=False, unreadable=hidden)[1]


def test_each_damage_changes_a_store_and_says_how(tmp_path: Path) -> None:
    """By name, so that a failure can be understood."""
    seen = set()
    for seed in range(40):
        directory = tmp_path / str(seed)
        directory.mkdir()
        for name in ("CURRENT", "MANIFEST-000004", "000005.wal", "000006.wal", "000007.sst", "000008.sst", "LOCK"):
            (directory / name).write_bytes(name.encode() * 20)
        before = {each.name: each.read_bytes() for each in directory.iterdir()}
        damage = damage_store(str(directory), Random(seed))
        after = {each.name: each.read_bytes() for each in directory.iterdir()}
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert set(damage.names) == changed, damage
        assert all(name in damage.text for name in damage.names)
        seen.add(damage.text.split()[0])
    assert {"flip", "cut", "grow", "remove", "swap"} == seen


@pytest.mark.timeout(1800)
def test_a_damaged_file_is_named_or_harmless(run_plan: RunPlan, full: bool, tally: Tally) -> None:
    """Never a wrong value; afterwards the store goes on as it was."""
    count = 300 if full else 6
    report = run_plan(
        seed=41, file_damages=count, option_sets=() if full else ("tiny",), interval_seconds=(0.02, 0.2), seconds=1700.0
    )
    figures = report.figures()
    assert (NOTHING_BROKEN, True) == ({name: figures[name] for name in NOTHING_BROKEN}, report.complete)
    assert count == sum(figures["damages"].values())
    known = ("error at open", "error on read", "torn tail", "nothing missing")
    assert all(outcome.startswith(known) for outcome in figures["damages"])
    tally.add("damaged files between two owners", count)


def test_records_synced_by_the_next_owner_are_promised_though_it_wrote_nothing(tmp_path: Path) -> None:
    """Found by this rig: the promise in a segment without records was not taken for one."""
    path = tmp_path / "store"
    with lsmproc.open(path, background="inline", wal_sync="none") as db:
        for number in range(50):
            db.put(b"%d" % number, b"value")
    with lsmproc.open(path, background="inline", wal_sync="none") as db:
        db.sync()
    log = min(path.glob("*.wal"))
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)
    with pytest.raises(CorruptionError, match=log.name):
        lsmproc.open(path, background="inline").close()
