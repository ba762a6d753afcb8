"""The file LOG: one line an event, rotated by size, and never in the way of anything."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsmproc.errors import NoSpaceError
from lsmproc.events.event import TableDeleted
from lsmproc.events.event_log import EventLog
from lsmproc.storage.event_log_reader import read_all_events, read_last_events
from lsmproc.storage.file_system import PosixFileSystem


class FullDisk(PosixFileSystem):
    """A disk that can be full."""

    full = False
    takes = 0  # bytes of a write, before it breaks off

    def write_all(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if self.full:
            super().write_all(fd, data[: self.takes], offset)
            raise NoSpaceError(errno.ENOSPC, os.strerror(errno.ENOSPC), "LOG")
        super().write_all(fd, data, offset)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FullDisk]:
    """An empty directory."""
    fs = FullDisk(str(tmp_path))
    yield fs
    fs.shut()


def removed(*numbers: int) -> list[TableDeleted]:
    """Some events."""
    return [TableDeleted(time_ns=1_700_000_000_000_000_000 + number, number=number) for number in numbers]


def found(fs: PosixFileSystem) -> list[Any]:
    """What a reader makes of the log: numbers of tables, or the count of lost events as a negative number."""
    return [event["number"] if "number" in event else -event["count"] for event in read_all_events(fs)]


def test_each_event_is_one_line_of_json(disk: FullDisk, tmp_path: Path) -> None:
    """grep, jq and tail -f are the tools that people have."""
    log = EventLog(disk, 1 << 20, 4)
    log.write(removed(1))
    log.write([])
    log.write(removed(2, 3))
    lines = (tmp_path / "LOG").read_text().splitlines()
    assert {"time": "2023-11-14T22:13:20.000Z", "event": "table_deleted", "number": 1} == json.loads(lines[0])
    assert [1, 2, 3] == found(disk)


def test_a_full_log_is_rotated_and_only_so_many_are_kept(disk: FullDisk, tmp_path: Path) -> None:
    """LOG.old.1 is the newest of the old ones; the space for all of them is bounded."""
    log = EventLog(disk, 200, 2)
    for number in range(12):
        log.write(removed(number))
    assert ["LOG", "LOG.old.1", "LOG.old.2"] == sorted(os.listdir(tmp_path))
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    assert [6, 7, 8, 9, 10, 11] == found(disk)


def test_old_logs_above_the_count_go_when_it_was_lowered(disk: FullDisk, tmp_path: Path) -> None:
    """With none wanted, the log begins anew."""
    log = EventLog(disk, 100, 16)
    for number in range(4):
        log.write(removed(number))
    assert 4 == len(os.listdir(tmp_path))
    EventLog(disk, 100, 0).write(removed(4))
    assert (["LOG"], [4]) == (os.listdir(tmp_path), found(disk))


def test_a_line_that_a_kill_has_torn_costs_that_line_only(disk: FullDisk, tmp_path: Path) -> None:
    """Reading skips it, and the next owner begins a line of its own."""
    EventLog(disk, 1 << 20, 4).write(removed(1, 2))
    path = tmp_path / "LOG"
    path.write_bytes(path.read_bytes()[:-20])
    assert [1] == found(disk)
    EventLog(disk, 1 << 20, 4).write(removed(3))
    assert [1, 3] == found(disk)
    assert [3] == [event["number"] for event in read_last_events(disk, 1)]


def test_events_that_a_full_disk_refuses_are_counted_in_the_next_line(
    disk: FullDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is raised, the warning comes once, and the half line is ended."""
    now = 100.0
    log = EventLog(disk, 1 << 20, 4, clock=lambda: now)
    log.write(removed(1))
    disk.full, disk.takes = True, 10
    with caplog.at_level(logging.WARNING, "lsmproc.events"):
        log.write(removed(2, 3))
        now += 60.0
        log.write(removed(4))
    disk.full = False
    log.write(removed(5))  # Too soon: it is not tried.
    now += 60.0
    log.write(removed(6))
    assert ([1, -4, 6], 1) == (found(disk), len(caplog.records))


def test_a_log_that_was_moved_away_is_begun_anew(disk: FullDisk, tmp_path: Path) -> None:
    """Programs that rotate logs themselves do that."""
    log = EventLog(disk, 1 << 20, 4)
    log.write(removed(1))
    (tmp_path / "LOG").rename(tmp_path / "elsewhere")
    log.write(removed(2))
    assert [2] == found(disk)


def test_a_link_in_the_place_of_the_log_is_not_followed(disk: FullDisk, tmp_path: Path) -> None:
    """Whoever may write into the directory must not choose which file the owner appends to."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "LOG").symlink_to(precious)
    EventLog(disk, 1 << 20, 4).write(removed(1))
    assert "mine" == precious.read_text()
