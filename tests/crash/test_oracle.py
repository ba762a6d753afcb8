"""The oracle alone: what it says about a store that holds this or that after a crash."""

from __future__ import annotations

import pytest

from lsmproc.stress.operations import Operation
from lsmproc.stress.oracle import Oracle, Record
from lsmproc.stress.stamped_value import OperationId, describe_value, stamped_value
from tests.crash.stream import COUNT, SEED, SHAPE, records_after, stream


def crashed_oracle(acked: int = COUNT) -> Oracle:
    """An oracle whose owner was killed after so many acknowledgements."""
    oracle = Oracle(SEED, SHAPE)
    oracle.begin(1)
    oracle.finish([acked], killed=True)
    return oracle


def kinds(oracle: Oracle, records: dict[bytes, Record]) -> set[str]:
    """What the oracle finds wrong with some records."""
    return {problem.kind for problem in oracle.look(records.values())}


def count_before(fits: object) -> int:
    """How many operations come before the first from COUNT on for which ``fits`` holds."""
    assert callable(fits)
    return next(n for n, operation in enumerate(stream()) if n >= COUNT and fits(operation))


def is_batch(operation: Operation) -> bool:
    """A batch of several puts to different keys."""
    return len(operation.keys) > 1 and None not in operation.values and len(set(operation.keys)) == len(operation.keys)


def test_both_parents_and_child_generate_the_same_operations() -> None:
    """Or an acknowledgement, which is a number, would mean nothing."""
    assert stream() == stream()


@pytest.mark.parametrize("open_one_happened", [False, True])
def test_the_open_operation_may_or_may_not_be_there(open_one_happened: bool) -> None:
    """Both are kept promises, and what is found is the truth from then on."""
    oracle = crashed_oracle()
    records = records_after(stream()[: COUNT + open_one_happened])
    assert set() == kinds(oracle, records)
    assert set() == kinds(oracle, records)


def test_half_an_open_batch_is_noticed() -> None:
    """A batch counts as one write."""
    acked = count_before(is_batch)
    records = records_after(stream()[:acked])
    batch = stream()[acked]
    assert batch.values[0] is not None
    records[batch.keys[0]] = (batch.keys[0], batch.values[0], 900)
    assert "torn batch" in kinds(crashed_oracle(acked), records)


def test_an_operation_after_the_open_one_is_noticed() -> None:
    """It was never issued, as far as the oracle knows."""
    assert kinds(crashed_oracle(), records_after(stream()[: COUNT + 10]))


def test_a_missing_record_is_lost() -> None:
    """It was acknowledged and not deleted."""
    records = records_after(stream()[:COUNT])
    del records[min(records)]
    assert {"lost"} == kinds(crashed_oracle(), records)


def test_a_deleted_key_that_is_back_is_noticed() -> None:
    """Its last acknowledged operation was the deletion."""
    done = stream()[:COUNT]
    records = records_after(done)
    deleted = next(key for operation in done for key in operation.keys if key not in records)
    records[deleted] = (deleted, b"from the grave", 1)
    assert {"resurrected"} == kinds(crashed_oracle(), records)


def test_an_older_value_is_wrong_and_says_who_wrote_it() -> None:
    """The stamp in a value names its operation."""
    records = records_after(stream()[:COUNT])
    key = min(records)
    old = stamped_value(SEED, OperationId(1, 0, 0), 0, key, 100)
    records[key] = (key, old, records[key][2])
    problems = crashed_oracle().look(records.values())
    assert ["wrong"] == [problem.kind for problem in problems]
    assert "the value of operation 0 of thread 0 in cycle 1" in problems[0].text


def test_a_key_that_nobody_wrote_is_foreign() -> None:
    """It cannot come from this run."""
    records = records_after(stream()[:COUNT])
    records[b"t09/000001"] = (b"t09/000001", b"?", 1)
    assert {"foreign"} == kinds(crashed_oracle(), records)


def test_sequence_numbers_out_of_order_are_noticed() -> None:
    """They decide which record is the newer one."""
    records = records_after(stream()[:COUNT])
    (low, *_, high) = sorted(records.values(), key=lambda record: record[2])
    records[low[0]], records[high[0]] = (*low[:2], high[2]), (*high[:2], low[2])
    assert {"order"} == kinds(crashed_oracle(), records)


def test_a_value_tells_damage_from_another_origin() -> None:
    """A flipped bit breaks the checksum; another key's value does not."""
    value = stamped_value(SEED, OperationId(3, 7, 1), 2, b"key", 120)
    assert "operation 7 of thread 1 in cycle 3, record 2" in describe_value(value, SEED, b"key")
    assert "which wrote it to b'key'" in describe_value(value, SEED, b"other")
    assert "of another run" in describe_value(value, SEED + 1, b"key")
    assert "checksum does not match" in describe_value(value[:-1] + b"?", SEED, b"key")
