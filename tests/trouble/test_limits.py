"""Limits of the process, on file sizes, descriptors and memory, are errors that say what to do, and pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tally import Tally
from tests.trouble.scenario_process import run_scenario


@pytest.mark.parametrize("background", ["process", "inline"])
def test_a_limit_on_file_sizes_cuts_a_write_short_and_is_told(tmp_path: Path, background: str, tally: Tally) -> None:
    """The system takes a part of the frame, then says EFBIG: no acknowledged write before or after it is harmed."""
    run_scenario("limits.file_size", tmp_path, background)
    tally.add("limits of a process")


def test_a_limit_on_file_sizes_in_the_workers_delays_flushes_only(tmp_path: Path, tally: Tally) -> None:
    """The error names the table; once it may be written, it is, without any help."""
    run_scenario("limits.file_size_in_a_worker", tmp_path)
    tally.add("limits of a process")


@pytest.mark.parametrize(("limit", "max_open_files"), [(64, None), (48, 16)])
def test_a_store_of_many_tables_lives_with_few_descriptors(
    tmp_path: Path, limit: int, max_open_files: int | None, full: bool, tally: Tally
) -> None:
    """The tables kept open are bounded by the limit; what finds no descriptor says so, and is tried again."""
    found = run_scenario("limits.descriptors", tmp_path, limit, max_open_files, 10_000 if full else 2000)
    assert found["tables"] > limit
    assert found["highest"] < limit
    assert 0 == found["failures"]
    assert found["errors"] > 0
    tally.add("limits of a process")


def test_a_worker_without_memory_fails_its_job_and_harms_nobody(tmp_path: Path, tally: Tally) -> None:
    """MemoryError in a flush: the owner tells, keeps everything, and the next attempt has what it needs."""
    found = run_scenario("limits.memory_in_a_worker", tmp_path)
    assert found["failed"], "the worker had enough memory"
    tally.add("limits of a process")
