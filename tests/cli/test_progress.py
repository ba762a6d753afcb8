"""Progress: nothing in a pipe, nothing for a short job, and no trace afterwards."""

from __future__ import annotations

import io

import pytest

from lsmproc.cli.demo.live_view import LiveView, block_of, line_of
from lsmproc.cli.progress import Progress
from lsmproc.statistics import LevelStats, Stats, WorkerStats


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


FIGURES = Stats(
    levels=(LevelStats(0, files=3, bytes=3_000_000, score=0.75),),
    workers=(WorkerStats("flush-1", "flush", 42, "busy", "flush of segment 7", jobs_done=5),),
).to_json_dict()
FIGURES["workers"] = [
    {"name": "flush-1", "kind": "flush", "pid": 42, "state": "busy", "job": "flush of segment 7", "jobs_done": 5}
]


@pytest.mark.parametrize("rich", [False, True])
def test_a_bar_appears_after_a_second_and_only_on_a_terminal(rich: bool) -> None:
    """A pipe gets no byte of it."""
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        clock = Clock()
        with Progress("loaded", "records", stream=stream, clock=clock, rich=rich) as progress:
            progress.update(10, 100)
            clock.now = 0.9
            progress.update(20, 100)
            assert "" == stream.getvalue()
            clock.now = 1.1
            progress.update(30, 100)
        assert shown == ("30 records of 100 records" in stream.getvalue())


def test_the_plain_line_is_rewritten_and_erased() -> None:
    """Without rich, one line with carriage returns."""
    stream, clock = Terminal(), Clock()
    with Progress("verified", "bytes", stream=stream, clock=clock, rich=False) as progress:
        clock.now = 2.0
        progress.update(1_500_000, 3_000_000)
    assert "\rverified: 1.5 MB of 3.0 MB (50%)" + "\r" + " " * 32 + "\r" == stream.getvalue()


def test_no_bar_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot go back to the start of a line."""
    monkeypatch.setenv("TERM", "dumb")
    stream, clock = Terminal(), Clock()
    with Progress("loaded", "records", stream=stream, clock=clock) as progress:
        clock.now = 2.0
        progress.update(1)
    assert "" == stream.getvalue()


def test_rich_uses_no_colour_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is a wish of the user's."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream, clock = Terminal(), Clock()
    with Progress("loaded", "records", stream=stream, clock=clock, rich=True) as progress:
        clock.now = 2.0
        progress.update(1, 2)
    assert "\x1b[3" not in stream.getvalue()


def test_the_view_shows_records_levels_workers_and_limiter() -> None:
    """What the demo is about."""
    block = "\n".join(block_of(50, 100, FIGURES))
    wanted = ("50 of 100 records", "L0    3 tables", "flush-1       pid 42", "5 jobs done", "limiter off", "normal")
    assert [] == [text for text in wanted if text not in block]
    assert "50/100 records | L0=3 | jobs flush-1:5 | limiter off" in line_of(50, 100, FIGURES)


@pytest.mark.parametrize(("rich", "shown"), [(True, "50 of 100 records"), (False, "50/100 records")])
def test_the_view_draws_on_a_terminal_at_once(rich: bool, shown: str) -> None:
    """A block with rich, a line without."""
    stream = Terminal()
    with LiveView(stream, 100, clock=Clock(), rich=rich) as view:
        view.show(50, FIGURES)
    assert shown in stream.getvalue()


def test_the_view_prints_a_line_every_other_second_elsewhere() -> None:
    """A log file is not flooded."""
    stream, clock = io.StringIO(), Clock()
    with LiveView(stream, 100, clock=clock) as view:
        for clock.now in (0.0, 1.0, 2.0, 3.0, 4.0):
            view.show(50, FIGURES)
    assert 2 == stream.getvalue().count("\n")
