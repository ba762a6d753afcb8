"""The page STATUS: when it is written, what it holds, and that it is never in the way."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsmproc.errors import StorageError
from lsmproc.events.event import TableDeleted
from lsmproc.events.event_stream import EventStream
from lsmproc.events.rates import rates
from lsmproc.events.status_writer import StatusWriter
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.status_file import read_page

Figures = dict[str, Any]


class Disk(PosixFileSystem):
    """A disk that counts pages and can refuse them."""

    pages = 0
    refuses = False

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if self.refuses:
            raise StorageError(errno.EROFS, os.strerror(errno.EROFS), "STATUS")
        self.pages += 1
        super().write_all(fd, data, offset)


class Watched:
    """A status writer with a clock that is set, and figures that are given."""

    def __init__(self, path: Path) -> None:
        self.now = 50.0
        self.cpu = 0.0
        self.busy = True
        self.figures: Figures = {"reads": {"gets": 0}}
        self.disk = Disk(str(path))
        self.stream = EventStream(lambda: 0)
        self.cost = 0.0  # of the figures, in seconds of CPU time
        self.pulse: object = object()
        self.writer = StatusWriter(
            self.disk, self._collect, lambda: self.pulse, self.stream, lambda: self.now, lambda: self.cpu
        )

    def _collect(self) -> Figures:
        self.cpu += self.cost
        return self.figures

    def tick_at(self, now: float) -> int:
        """Come round at that time; how many pages there were so far."""
        self.now = now
        self.pulse = object() if self.busy else None
        self.writer.tick()
        return self.disk.pages

    @property
    def page(self) -> Figures:
        """What another process would read."""
        return read_page(self.disk)[1]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """In an empty directory."""
    made = Watched(tmp_path)
    yield made
    made.disk.shut()


def test_a_store_that_is_open_for_less_than_a_second_writes_no_page(watched: Watched, tmp_path: Path) -> None:
    """Short programs open and close stores all the time."""
    assert 0 == watched.tick_at(50.9)
    watched.writer.remember()
    watched.writer.finish()
    assert [] == os.listdir(tmp_path)


def test_a_page_is_written_each_second_and_sooner_after_a_change_of_the_stall(watched: Watched) -> None:
    """But never twice in a fifth of a second."""
    assert [0, 1, 1, 1, 2] == [watched.tick_at(at) for at in (50.5, 51.0, 51.25, 51.75, 52.0)]
    watched.writer.hurry()
    assert [2, 3, 3] == [watched.tick_at(at) for at in (52.1, 52.25, 52.5)]


def test_figures_that_are_dear_are_written_less_often(watched: Watched) -> None:
    """Two thousandths of a core is what may be spent on them: 20 ms make it every 10 seconds, as the page says."""
    watched.cost = 0.020
    assert [1, 1, 2] == [watched.tick_at(at) for at in (51.0, 60.9, 61.1)]
    assert 10.0 == pytest.approx(watched.page["interval_seconds"])


def test_a_store_in_which_nothing_happens_writes_every_five_seconds(watched: Watched) -> None:
    """Until something does: then within a second."""
    watched.busy = False
    assert [1, 1, 1, 2, 2] == [watched.tick_at(at) for at in (51.0, 53.0, 55.9, 56.1, 58.0)]
    watched.stream.publish(TableDeleted(number=9))
    assert [3, 3] == [watched.tick_at(at) for at in (58.25, 60.0)]
    watched.busy = True
    assert 4 == watched.tick_at(60.25)
    assert 5.0 == watched.page["interval_seconds"]


def test_a_page_says_who_wrote_it_and_what_happens(watched: Watched) -> None:
    """Figures as they are, rates since the page before, the newest events, and the process to look for."""
    watched.tick_at(51.0)
    watched.figures = {"reads": {"gets": 300}, "of a later release": {"x": 1}}
    watched.stream.publish(TableDeleted(number=9))
    watched.tick_at(53.0)
    page = watched.page
    assert (os.getpid(), "open", watched.figures) == (page["pid"], page["state"], page["stats"])
    assert (150.0, 9) == (page["rates"]["gets_per_second"], page["events"][0]["number"])


def test_the_last_page_of_a_closed_store_says_so(watched: Watched) -> None:
    """With the figures from before it was taken apart; a second close writes nothing."""
    watched.tick_at(51.0)
    watched.figures = {"reads": {"gets": 7}}
    watched.writer.remember()
    watched.figures = {}
    watched.writer.finish()
    watched.writer.finish()
    assert ("closed", {"gets": 7}, 2) == (watched.page["state"], watched.page["stats"]["reads"], watched.disk.pages)


def test_the_next_owner_goes_on_behind_the_pages_of_the_one_before(watched: Watched, tmp_path: Path) -> None:
    """Or a reader would take the old page, with the higher number, for the newer one."""
    for at in range(51, 60):
        watched.tick_at(at)
    after = Watched(tmp_path)
    after.figures = {"mine": 1}
    after.tick_at(51.0)
    assert {"mine": 1} == after.page["stats"]
    after.disk.shut()


def test_figures_that_do_not_fit_leave_a_page_that_says_who_and_when(watched: Watched) -> None:
    """A slot is 64 KiB, and a later release may know very much."""
    watched.figures = {"all": "x" * 70_000}
    watched.tick_at(51.0)
    assert ({}, True, os.getpid()) == (watched.page["stats"], watched.page["cut"], watched.page["pid"])


def test_a_disk_that_refuses_is_warned_of_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """The next pages are tried all the same."""
    watched.disk.refuses = True
    with caplog.at_level(logging.WARNING, "lsmproc.events"):
        watched.tick_at(51.0)
        watched.tick_at(52.0)
    watched.disk.refuses = False
    assert (1, 1) == (watched.tick_at(53.0), len(caplog.records))


def test_figures_that_cannot_be_had_are_asked_for_in_a_second_again(watched: Watched) -> None:
    """And not at each tick, each time with a traceback in the log."""

    def fail() -> Figures:
        raise RuntimeError("no figures")

    watched.writer._collect = fail
    with pytest.raises(RuntimeError):
        watched.tick_at(51.0)
    assert [0, 0] == [watched.tick_at(at) for at in (51.25, 51.9)]
    watched.writer._collect = watched._collect
    assert 1 == watched.tick_at(52.0)


def test_rates_come_from_counters_and_never_run_backwards() -> None:
    """What one of the two trees does not hold, or holds as something else, is left out."""
    before: Figures = {"reads": {"gets": 10, "scans": "?"}, "levels": [{"bytes_from_above": 100, "bytes_written": 50}]}
    after: Figures = {"reads": {"gets": 30, "scans": 4}, "levels": [{"bytes_from_above": 300, "bytes_written": 20}]}
    found = rates(before, after, 2.0)
    assert (10.0, 100.0, 0.0) == tuple(
        found[name] for name in ("gets_per_second", "ingested_bytes_per_second", "flushed_bytes_per_second")
    )
    assert "scans_per_second" not in found
    assert {} == rates(before, after, 0.0)
