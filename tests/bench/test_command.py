"""The command measures, prints, saves and compares."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lsmproc.bench import fill_1m, micro, options
from lsmproc.bench.command_line import main
from lsmproc.bench.errors import OptionError, SessionFailedError
from lsmproc.bench.rounds import Rounds
from lsmproc.bench.summary import BY_NAME, Summary
from lsmproc.bench.targets import targets_report

ROOT = Path(__file__).parents[2]
SMALL = ["--num", "300", "--rounds", "1", "--systems", "lsmproc,sqlite3", "--workloads", "fillrandom,readseq"]
SMALL += ["--background", "inline"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of one small run, and what it printed."""
    folder = tmp_path_factory.mktemp("bench results")
    files = ["--dir", str(folder), "--json", "run.json", "--html", "run.html"]
    done = subprocess.run(
        [sys.executable, "-m", "lsmproc", "bench", *SMALL, *files],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (folder / "printed").write_text(done.stdout)
    return folder


def test_the_table_names_each_workload_and_system(saved: Path) -> None:
    """What was asked for is what is shown."""
    printed = (saved / "printed").read_text()
    assert all(name in printed for name in ("fillrandom:", "readseq:", "lsmproc", "sqlite3", "all done"))


def test_the_saved_run_holds_every_session_with_its_usage(saved: Path) -> None:
    """Memory is watched from outside and joins what the session itself told."""
    results = json.loads((saved / "run.json").read_text())["results"]
    assert 4 == len(results)
    assert all(each["usage"]["peak_bytes"] >= each["usage"]["owner_peak_bytes"] > 0 for each in results)


def test_nothing_but_the_results_stays_behind(saved: Path) -> None:
    """The stores were made in --dir and are gone."""
    assert {"run.json", "run.html", "printed"} == {path.name for path in saved.iterdir()}


def test_the_page_is_whole_and_loads_nothing(saved: Path) -> None:
    """It can be mailed, and opened without a network."""
    page = (saved / "run.html").read_text()
    tags = _Tags()
    tags.feed(page)
    assert [] == tags.open
    assert tags.seen >= {"svg", "polyline", "table"}
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert not any(mark in page for mark in ("http://", "https://", "@import", "url("))


def test_a_run_compared_with_itself_is_neither_faster_nor_slower(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ratios are 1 and nothing is marked as outside the spread."""
    run = str(saved / "run.json")
    assert 0 == main(["--show", run, "--against", run])
    _, _, compared = capsys.readouterr().out.partition("Against the run of")
    rows = [line for line in compared.splitlines() if line.startswith("fillrandom")]
    assert rows
    assert all("1.00x" in row or " -" in row for row in rows)
    assert "*" not in "".join(rows)


def test_a_resumed_run_measures_only_what_is_missing(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop loses one workload at most; what is there stays as it was measured."""
    path = tmp_path / "run.json"
    whole = json.loads((saved / "run.json").read_text())
    stopped = whole | {"results": [each for each in whole["results"] if each["workload"] == "fillrandom"]}
    path.write_text(json.dumps(stopped))
    asked = []

    def measure_nothing(self: Rounds, system: str, workload: str, *_: object) -> dict[str, Any]:
        asked.append((system, workload))
        if workload == "load":
            return {"version": "", "settings": {}}
        return next(each for each in whole["results"] if each["workload"] == workload and each["system"] == system)

    monkeypatch.setattr(Rounds, "_run_session", measure_nothing)
    assert 0 == main([*SMALL, "--dir", str(tmp_path), "--json", str(path), "--resume"])
    assert {"fillrandom"}.isdisjoint(workload for _, workload in asked)
    measured = json.loads(path.read_text())["results"]
    assert whole["results"] == sorted(measured, key=whole["results"].index)
    assert 2 == main([*SMALL, "--num", "400", "--json", str(path), "--resume"])


def test_a_session_that_fails_leaves_the_others_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that fails costs no other its result, and is told of."""
    path = tmp_path / "run.json"

    def fail_at_the_second(self: Rounds, system: str, workload: str, *_: object) -> dict[str, Any]:
        if workload == "readseq":
            raise SessionFailedError("readseq failed")
        return {"version": "", "settings": {}} | _result(system, 1.0, 1.0)

    monkeypatch.setattr(Rounds, "_run_session", fail_at_the_second)
    assert 1 == main([*SMALL, "--dir", str(tmp_path), "--json", str(path)])
    assert ["lsmproc", "sqlite3"] == [each["system"] for each in json.loads(path.read_text())["results"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--systems", "nonsense"], "there is no system nonsense; choose from lsmproc, plyvel"),
        (["--workloads", "nonsense"], "there is no workload nonsense; choose from fillseq"),
        (["--only", "nonsense"], "no workload has this in its name"),
        (["micro", "--only", "nonsense"], "choose from aio, iterators"),
        (["--num", "0"], "--num must be at least 1"),
        (["--num", "1M", "--key-size", "4"], "keys of 1000000 records need 7 bytes at least"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--reads", "0"], "--reads must be at least 1"),
        (["--compressibility", "2"], "at most 1"),
        (["--counts", "10"], "--counts has no meaning for table, only for sizes"),
        (["sizes", "--counts", "10,x"], "'x' is no whole number"),
        (["limiter", "--threads", "2"], "--threads has no meaning for limiter"),
        (["--dir", "/nowhere/at/all"], "there is no such directory"),
        (["--json", "/nowhere/run.json"], "its directory does not exist"),
        (["--resume"], "name it"),
        (["--show", "/nowhere/run.json"], "there is no such file"),
        (["--against", "/nowhere/run.json"], "No such file"),
        (["--num", "1000000M", "--key-size", "20"], "choose another place with --dir"),
    ],
)
def test_a_run_that_cannot_be_made_is_refused_with_the_reason(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured, in one line and without a traceback."""
    assert 2 == main(arguments)
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("NOT MEASURED")]
    assert 1 == len(error)
    assert told in error[0]


def test_saved_results_are_not_overwritten(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An hour of measuring must not be lost to a forgotten option."""
    before = (saved / "run.json").read_bytes()
    assert 2 == main([*SMALL, "--json", str(saved / "run.json")])
    assert "--resume goes on with it" in capsys.readouterr().err
    assert before == (saved / "run.json").read_bytes()


@pytest.mark.parametrize("text", ["no json", "[]", '{"format": 1}', '{"format": 2, "kind": "backlog"}'])
def test_a_file_that_holds_no_results_of_this_kind_is_refused(text: str, tmp_path: Path) -> None:
    """Figures of another program would be compared as if they were ours."""
    (tmp_path / "run.json").write_text(text)
    assert 2 == main(["--show", str(tmp_path / "run.json")])


def test_a_peer_that_is_not_installed_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table without the fastest peer would look like a victory."""
    monkeypatch.setattr(options, "installed", lambda name: name != "plyvel")
    told: list[str] = []
    parsed = Namespace(systems="lsmproc,plyvel", config=None)
    assert ["lsmproc"] == options.systems_of(parsed, told.append)
    assert (
        'NOT MEASURED, because not installed: plyvel. To compare with all peers: pip install "lsmproc[bench]"'
        in told[0]
    )
    with pytest.raises(OptionError, match="none of the systems plyvel is installed"):
        options.systems_of(Namespace(systems="plyvel", config=None), told.append)


@pytest.mark.parametrize(
    ("text", "value"),
    [("50000", 50_000), ("50_000", 50_000), ("100k", 100_000), ("1.5M", 1_500_000), ("1Mi", 1 << 20)],
)
def test_counts_and_sizes_are_written_as_people_do(text: str, value: int) -> None:
    """Zeros are miscounted."""
    assert value == options.number(text)


def test_ratios_say_how_many_times_better_we_are() -> None:
    """Rates and latencies have opposite senses and one reading."""
    summary = Summary([_result("lsmproc", 2.0, 10), _result("plyvel", 1.0, 30), _result("rocksdict", 4.0, 5)])
    rate, p99 = BY_NAME["rate"], BY_NAME["p99"]
    assert (0.5, 3.0) == (summary.ratio("fillseq", "plyvel", rate), summary.ratio("fillseq", "plyvel", p99))
    assert 0.5 == summary.ratio_to_best("fillseq", rate)
    assert 0.5 == summary.ratio_to_best("fillseq", p99)


def test_the_preset_judges_each_promise() -> None:
    """A slow put or a large owner is told by name."""
    results = [_result("lsmproc", 1.0, 10), _result("plyvel", 2.0, 10)]
    for each in results:
        each["workload"] = "fillrandom"
    judged = list(fill_1m.judge(Summary(results)))
    assert [True, False, True] == [holds for _, holds in judged]


def test_a_target_is_met_reached_or_behind() -> None:
    """Each against the better peer, or against its bound."""
    both = [_result("lsmproc", 1.0, 10), _result("plyvel", 1.5, 10)]
    assert "" == targets_report(Summary(both))
    for workload, verdict in (
        ("readrandom", "aim reached"),
        ("fillrandom", "reached"),
        ("seekrandom", "aim reached"),
        ("multireadrandom", "reached"),
    ):
        line = targets_report(Summary([each | {"workload": workload} for each in both])).splitlines()[1]
        assert (workload, verdict) == (line.split()[0], line.split("x  ")[-1].strip())
    slow = [_result("lsmproc", 1.0, 30_000) | {"workload": "overwrite"}]
    assert "20,000 us  5,000 us  30,000 us  NOT REACHED" in targets_report(Summary(slow))


def test_the_micro_benchmarks_are_found() -> None:
    """By the name after their prefix."""
    assert {"iterators", "log", "tables"} <= set(micro.names())


def _result(system: str, seconds: float, latency: float) -> dict[str, object]:
    return {
        "system": system,
        "workload": "fillseq",
        "round": 0,
        "whole": {"operations": 100, "seconds": seconds, "done_seconds": None, "timeline": []},
        "each": {"latency": {"p50": latency, "p99": latency, "p999": latency, "worst": latency}},
        "usage": {
            "cpu_seconds": 1.0,
            "written_bytes": None,
            "space_bytes": 1,
            "baseline_bytes": 1,
            "peak_bytes": 600_000_000,
            "owner_peak_bytes": 600_000_000,
        },
    }


class _Tags(HTMLParser):
    """Which tags there are, and which are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_two_files_of_settings_are_two_systems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before and after a change in one run: the last is told to be so many times better than the first."""
    (tmp_path / "app.toml").write_text('background = "inline"\nmemtable_max_bytes = "64KiB"\n')
    (tmp_path / "tuned.toml").write_text('background = "inline"\nmemtable_max_bytes = "8MiB"\n')
    run = ["--num", "300", "--rounds", "1", "--workloads", "fillrandom", "--json", str(tmp_path / "run.json")]
    files = ["--config", str(tmp_path / "app.toml"), "--config", str(tmp_path / "tuned.toml")]
    assert 0 == main([*run, *files, "--dir", str(tmp_path)])
    saved = json.loads((tmp_path / "run.json").read_text())
    assert {"lsmproc:app", "lsmproc:tuned"} == set(saved["systems"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  lsmproc:")]
    assert [("lsmproc:app", True), ("lsmproc:tuned", False)] == [(row[0], row[-1].endswith("x")) for row in rows]


def test_a_file_of_settings_with_mistakes_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all of them, and their lines."""
    (tmp_path / "bad.toml").write_text("memtable_max_bites = 1\nflush_workers = 0\n")
    assert 2 == main(["--config", str(tmp_path / "bad.toml")])
    told = capsys.readouterr().err
    assert "bad.toml:1: unknown setting" in told
    assert "bad.toml:2: flush_workers" in told
    assert 2 == main(["--config", str(tmp_path / "nothing.toml")])
