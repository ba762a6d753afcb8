"""The experiments beyond single figures: each measures what it says, and its report tells kept from not kept."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lsmproc.bench.beyond import backlog, experiment, foreground, limiter, limiting, looping, sizes
from lsmproc.bench.beyond.draining import drain
from lsmproc.bench.beyond.idling import idle
from lsmproc.bench.errors import OptionError, SessionFailedError
from lsmproc.bench.settings import Settings

TINY = Settings(num=2000, write_buffer_bytes=1 << 14, background="thread")


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """A store with a backlog."""
    directory = str(tmp_path / "store")
    assert experiment.fill(TINY, directory)["tables"] > 8
    return directory


def test_a_backlog_is_compacted_and_its_records_are_counted(filled: str) -> None:
    """Every record is merged at least once."""
    found = drain(TINY, filled, workers=2)
    assert found["merged_records"] >= 0.9 * TINY.num
    assert found["compactions"] > 0
    assert found["seconds"] > 0


def test_the_loop_is_timed_alone_and_beside_a_compaction(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have slices, or the loss would be of nothing."""
    monkeypatch.setattr(looping, "_ALONE_SECONDS", 0.02)
    monkeypatch.setattr(looping, "_SLICE_SECONDS", 0.001)
    monkeypatch.setattr(looping, "_BEGIN_SECONDS", 0.5)
    monkeypatch.setattr(looping, "_TURNS", 10)
    found = looping.loop(TINY, filled)
    assert found["alone"]
    assert all(turns > 0 for turns, _ in found["beside"])


def test_the_limiter_is_watched_through_three_settings(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each phase with its rate, and samples that never go back."""
    monkeypatch.setattr(limiting, "_PHASE_SECONDS", 0.05)
    found = limiting.limit(TINY, filled, rate=1 << 20)
    assert [1 << 20, 2 << 20, 1 << 19] == [phase["rate"] for phase in found["phases"]]
    written = [total for _, total, _ in found["samples"]]
    assert sorted(written) == written


def test_paced_puts_are_counted_against_what_was_due(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more puts than asked for, and a latency for each."""
    monkeypatch.setattr(limiting, "_PUT_SECONDS", 0.1)
    found = limiting.paced_puts(TINY, filled, rate=None)
    assert 0 < found["puts"] <= found["due"] == int(0.1 * TINY.write_rate)
    assert 0 < found["latency"]["p50"] <= found["latency"]["worst"]


def test_the_memory_of_an_idle_store_is_counted_by_part(filled: str) -> None:
    """Index, filters and caches are there after every block was read."""
    drain(TINY, filled, workers=1)
    found = idle(TINY, filled)
    assert all(found[f"{part}_bytes"] > 0 for part in ("index", "filter", "block_cache", "row_cache"))


def test_a_job_in_its_own_process_answers_or_fails_with_its_reason(tmp_path: Path) -> None:
    """The traceback of the other process is what helps."""
    assert experiment.ask("fill", TINY, str(tmp_path / "store"))["tables"] > 8
    with pytest.raises(SessionFailedError, match="unexpected keyword argument"):
        experiment.ask("fill", TINY, str(tmp_path / "store"), nonsense=1)


def test_too_few_records_for_a_backlog_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of nothing is compacted equally fast by any number of processes."""
    monkeypatch.setattr(experiment, "ask", lambda *_: {"tables": 2})
    with pytest.raises(OptionError, match="raise --num or lower --write-buffer-bytes"), experiment.backlog(TINY, None):
        pass


@pytest.mark.parametrize(("seconds", "verdict"), [(5.0, "2.00x as fast as one"), (9.0, "NOT REACHED")])
def test_two_processes_are_compared_with_one(seconds: float, verdict: str) -> None:
    """By the medians of their rounds."""
    drained = {"cpu_seconds": 9.0, "busy_seconds": 9.0, "merged_records": 9_000_000, "compactions": 3}
    results = [drained | {"workers": 1, "seconds": 10.0}, drained | {"workers": 2, "seconds": seconds}]
    told = backlog.report({"results": results})
    assert verdict in told
    assert "1,000,000" in told


def test_the_loss_of_the_foreground_is_told_for_each_kind() -> None:
    """Five percent in a process are within the promise."""
    results = [
        {"background": "process", "alone": [[100.0, 100.0]], "beside": [[95.0, 99.0]]},
        {"background": "thread", "alone": [[100.0, 100.0]], "beside": [[50.0, 99.0]]},
    ]
    told = foreground.report({"results": results})
    assert ("5.0 %" in told, "50.0 %" in told, "target of processes: reached" in told) == (True, True, True)


@pytest.mark.parametrize(("factor", "verdict"), [(1.05, "kept"), (1.25, "NOT KEPT: 25 % off")])
def test_bytes_per_second_are_judged_against_the_setting(factor: float, verdict: str) -> None:
    """Over every second of the phase but the first."""
    run = _limited(factor)
    line = limiter.report(run).splitlines()[1]
    assert line.endswith(verdict)
    _check_page(limiter.page(run))


def test_the_growth_of_each_cost_is_on_one_plot() -> None:
    """Ten times the records and twice the time is 2.00x."""
    run = {"settings": {"num": None}, "sizes": [_size(1000, 1.0), _size(10_000, 20.0)]}
    told = sizes.report(run)
    assert "2.00x" in next(line for line in told.splitlines() if line.startswith("lsmproc readrandom, us"))
    assert "of it filters" in told
    _check_page(sizes.page(run))


def _limited(factor: float) -> dict[str, Any]:
    samples = [[at / 50, factor * at * (1 << 20) / 50, at * (1 << 20) / 50] for at in range(250)]
    puts = {
        "puts": 10,
        "latency": {"p50": 1.0, "p99": 2.0, "p99.9": 3.0, "worst": 4.0},
        "timeline": [[0.1, 2.0, 4.0], [0.2, 2.0, 3.0]],
        "compacting": [[0.0, 0.1]],
        "stalled_seconds": 0.0,
        "debt_bytes": 0,
    }
    phase = {"rate": 1 << 20, "from": 0.0, "until": 4.9}
    settings = {"write_rate": 5, "rate": 1 << 20}
    return {"accuracy": {"phases": [phase], "samples": samples}, "with": puts, "without": puts, "settings": settings}


def _size(num: int, seconds: float) -> dict[str, Any]:
    usage = {"written_bytes": 100 * num, "baseline_bytes": 1, "peak_bytes": 2 << 20}
    whole = {"operations": num, "seconds": seconds, "done_seconds": seconds}
    results = [
        {"system": "lsmproc", "workload": name, "whole": whole, "usage": usage, "own": {"levels": 2.0}}
        for name in sizes.WORKLOADS
    ]
    parts = ("opened", "read", "index", "filter", "block_cache", "row_cache", "table")
    return {"num": num, "raw_bytes": 50 * num, "results": results, "idle": {f"{part}_bytes": 1 << 20 for part in parts}}


def _check_page(page: str) -> None:
    """Whole, and with nothing that must be loaded."""
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert {"svg", "polyline", "pre"} <= set(seen)
    assert not {"script", "link", "img"} & set(seen)
