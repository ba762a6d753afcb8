"""The command measures, prints, saves and compares."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lsmproc.bench import fill_1m, micro
from lsmproc.bench.command_line import main
from lsmproc.bench.summary import BY_NAME, Summary
from lsmproc.bench.targets import targets_report

ROOT = Path(__file__).parents[2]
SMALL = ["--num", "500", "--rounds", "1", "--systems", "lsmproc,sqlite3", "--workloads", "fillrandom,readseq"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of one small run, and what it printed."""
    folder = tmp_path_factory.mktemp("bench results")
    done = subprocess.run(
        [sys.executable, "-m", "bench", *SMALL, "--dir", str(folder), "--json", "run.json", "--html", "run.html"],
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


@pytest.mark.parametrize("option", ["--systems", "--workloads"])
def test_an_unknown_name_is_refused_with_the_known_ones(option: str) -> None:
    """A misspelt workload must not look like one that was measured."""
    with pytest.raises(SystemExit, match=r"there is no .* nonsense; choose from"):
        main([option, "nonsense"])


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
    """Each against the better peer."""
    summary = Summary([_result("lsmproc", 1.0, 10), _result("plyvel", 1.5, 10)])
    assert "" == targets_report(summary)
    for workload, verdict in (("readrandom", "aim"), ("fillrandom", "met"), ("readreverse", "met"), ("readhot", "met")):
        results = [_result("lsmproc", 1.0, 10), _result("plyvel", 1.5, 10)]
        line = targets_report(Summary([each | {"workload": workload} for each in results])).splitlines()[1]
        assert (workload, verdict) == (line.split()[0], line.split()[-1])


def test_the_micro_benchmarks_are_found() -> None:
    """By the name after their prefix; one that does not exist is refused."""
    assert {"iterators", "tables"} <= set(micro.names())
    assert 2 == micro.main(["nonsense"])


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
