"""The demo: it holds on real processes, it notices what does not hold, and it leaves nothing behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import lsmproc
from lsmproc.cli.demo.comparison import Comparison, compare
from lsmproc.cli.demo.input_lines import InputFile, chosen_files, in_load_order, records_of, standard_library_files
from lsmproc.cli.demo.loader import Loader
from lsmproc.cli.demo.narrator import Narrator
from lsmproc.cli.demo.summary import LoadOutcome, summary_rows
from lsmproc.cli.exit_codes import CannotError
from lsmproc.statistics import LevelStats, Stats

Run = Callable[..., Any]

ROOT = Path(__file__).parents[2]
LINES = 30_000


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Three files of lines, empty ones and odd bytes among them."""
    folder = tmp_path / "input files"
    folder.mkdir()
    for name in ("a", "b", "c"):
        lines = (b"line %d of %b \xff" % (n, name.encode()) if n % 7 else b"" for n in range(LINES // 3))
        (folder / name).write_bytes(b"\n".join(lines))
    return [str(folder / name) for name in ("a", "b", "c")]


@pytest.fixture
def files(inputs: list[str]) -> list[InputFile]:
    """The same, in load order."""
    return in_load_order(chosen_files(inputs), 1)


def test_the_whole_demo_holds_on_given_files(run_process: Run, inputs: list[str], tmp_path: Path) -> None:
    """Both parts, the kill, the comparison and the table; --dir is kept and sound."""
    directory = tmp_path / "kept stores"
    done = run_process("demo", "--dir", directory, "--input", *inputs)
    text = done.stdout.decode()
    assert (0, b"") == (done.returncode, done.stderr), text
    assert (False, True) == ("FAIL" in text, "Everything held." in text)
    assert f"{LINES:,} lines of 3 files" in text
    with lsmproc.open(directory / "load", read_only=True) as db:
        assert dict(records_of(chosen_files(inputs))) == dict(db.range())


def test_a_directory_that_holds_something_is_refused(run: Run, inputs: list[str], tmp_path: Path) -> None:
    """The demo never writes beside the files of others."""
    done = run("demo", "--dir", tmp_path, "--input", *inputs)
    assert (2, True) == (done.code, "is not empty" in done.err)


@pytest.mark.parametrize("path", ["/nowhere", "/dev/null", "."])
def test_an_input_that_cannot_be_read_twice_is_refused(run: Run, path: str) -> None:
    """Before anything is started."""
    done = run("demo", "--input", path)
    assert (2, b"") == (done.code, done.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process_and_no_directory(
    inputs: list[str], tmp_path: Path, number: int, eventually: Callable[..., None]
) -> None:
    """Whenever it comes: here in the middle of the load."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    big = tmp_path / "big"
    big.write_bytes(b"a line\n" * 400_000)
    demo = subprocess.Popen(
        [sys.executable, "-m", "lsmproc", "demo", "--input", str(big)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
    )
    seen: list[psutil.Process] = []

    def workers_run() -> bool:
        seen[:] = psutil.Process(demo.pid).children(recursive=True)
        return len(seen) >= 2 and any(temporary.glob("*/load/*.sst"))

    try:
        eventually(workers_run, timeout=30)
        demo.send_signal(number)
        assert 130 == demo.wait(20)
    finally:
        demo.kill()
        demo.wait()
    assert [] == list(temporary.iterdir())
    eventually(lambda: not any(_runs(process) for process in seen))


def test_each_acknowledgement_that_was_read_is_a_record_that_survives(files: list[InputFile], tmp_path: Path) -> None:
    """SIGKILL while the process loads: what it had acknowledged is in the store, and at most one more."""
    with Loader(str(tmp_path / "store"), {"memtable_max_bytes": "128KiB"}, files, 0) as loader:
        loader.watch(lambda done, figures: None, until=1000)
        code, _ = loader.kill()
        acknowledged = loader.acknowledged
    with lsmproc.open(tmp_path / "store") as db:
        found = compare(db, files, acknowledged, lambda done, total: None)
    assert -signal.SIGKILL == code
    assert (acknowledged, 0, 0, 0) == (found.correct, found.missing, found.wrong, found.foreign)
    assert found.beyond in {0, 1}


def test_a_load_process_that_fails_is_an_error_with_its_reason(files: list[InputFile], tmp_path: Path) -> None:
    """And not a demo that waits for ever."""
    with Loader(str(tmp_path / "store"), {"memtable_max_bytes": 1}, files, 0) as loader:
        with pytest.raises(CannotError, match="memtable_max_bytes"):
            loader.watch(lambda done, figures: None)


def test_the_comparison_notices_every_kind_of_difference(files: list[InputFile], tmp_path: Path) -> None:
    """Missing, wrong, beyond the acknowledged ones, and from nowhere."""
    records = list(records_of(files))
    with lsmproc.open(tmp_path / "store", background="inline") as db:
        for key, value in records[:20_000]:
            db.put(key, value)
        assert Comparison(correct=20_000) == compare(db, files, 20_000, lambda done, total: None)
        db.delete(records[5][0])
        db.put(records[15_000][0], b"something else")
        db.put(b"from nowhere", b"")
        found = compare(db, files, 19_998, lambda done, total: None)
    assert Comparison(correct=19_996, missing=1, wrong=1, beyond=2, foreign=1) == found


def test_a_claim_that_does_not_hold_is_shown_and_remembered() -> None:
    """The exit code depends on it."""
    narrator = Narrator(io.StringIO())
    narrator.check("two and two are four", 4, 4)
    narrator.check("two and two are five", 5, 4)
    narrator.conclude()
    assert ["two and two are five"] == narrator.failures
    assert "FAIL  two and two are five: expected 5, got 4" in narrator.output.getvalue()


def test_the_summary_adds_up_what_both_load_processes_said() -> None:
    """Flushes, bytes and the jobs of each worker process, before and after the kill."""
    levels = (
        LevelStats(0, bytes_from_above=1_000_000, bytes_written=500_000, compactions=2),
        LevelStats(6, bytes_written=1_500_000, compactions=1),
    )
    figures = Stats(levels=levels).to_json_dict()
    workers = [[{"name": "compaction-1", "kind": "compaction", "pid": pid, "jobs_done": 1}] for pid in (41, 42)]
    outcome = LoadOutcome(records=10, files=1, figures=[figures | {"workers": each} for each in workers])
    rows = dict(summary_rows(outcome))
    assert "4" == rows["flushes"]
    assert "4.0 MB, write amplification 2.0" == rows["written by workers"]
    assert "1 in process 41, 1 in process 42" == rows["compactions, compaction-1"]


def test_an_input_that_changes_meanwhile_is_told_apart_from_a_lost_record(inputs: list[str]) -> None:
    """A log file that grows is no proof against the store."""
    (file, *_) = chosen_files(inputs)
    with Path(inputs[0]).open("ab") as growing:
        growing.write(b"one more\n")
    with pytest.raises(CannotError, match="changed during the demo"):
        list(file.records())


def test_the_default_input_is_the_standard_library() -> None:
    """Found on any machine with Python: its keys are file and line number."""
    files = {file.name: file for file in standard_library_files()}
    assert [] == [name for name in files if "site-packages" in name]
    key, value = next(iter(files["argparse.py"].records()))
    assert (b"argparse.py:00000001", True) == (key, value.startswith(b"# Author"))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
