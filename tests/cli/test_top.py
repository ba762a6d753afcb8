"""``lsmproc top``: what it says of a running store, of a dead one and of a closed one, from another process."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.cli.top.event_text import event_words
from lsmproc.cli.top.figures import amount, bar, duration, size
from lsmproc.cli.top.screen import open_screen, plain_lines
from lsmproc.cli.top.view import view_of
from lsmproc.monitoring.store_status import StoreStatus, read_status

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]
Eventually = Callable[..., None]

_OWNER = """
import sys, lsmproc
db = lsmproc.open(sys.argv[1], memtable_max_bytes="64KiB", level0_compaction_trigger=2, rate_limit_bytes_per_sec="8MiB")
for number in range(4000):
    db.put(b"%06d" % (number * 7919 % 4000), b"v" * 50)
db.wait_idle(60)
print("ready", flush=True)
sys.stdin.readline()
db.close()
"""

FIGURES: dict[str, Any] = {
    "uptime_seconds": 11520.0,
    "memtable": {"count": 1, "entries": 41000, "bytes": 5_300_000},
    "immutable_memtables": {"count": 1, "entries": 60000, "bytes": 8_400_000},
    "wal": {"segments": 2, "bytes": 13_700_000, "syncs": 3},
    "levels": [
        {"level": 0, "files": 3, "bytes": 18 << 20, "score": 0.75, "compactions": 9, "write_amplification": 0.6},
        {"level": 1, "files": 10, "bytes": 64 << 20, "score": 2.4, "compactions": 4, "write_amplification": 7.1},
        {"level": 2, "files": 0, "bytes": 0, "score": 0.0, "compactions": 0},
    ],
    "compaction_debt_bytes": 44 << 20,
    "block_cache": {"hits": 934, "misses": 66, "bytes": 61 << 20, "limit_bytes": 64 << 20, "hit_ratio": 0.934},
    "stall": {
        "state": "slowdown", "reason": "level 0 runs", "seconds_in_state": 3.2, "stalls": {"level 0 runs": 2},
        "seconds": {"level 0 runs": 4.5}, "waits": 1200, "waited_seconds": 0.4,
    },
    "limiter": {"bytes_per_second": 32 << 20, "granted_bytes": 1 << 30, "waited_seconds": 12.0},
    "workers": [
        {"name": "flush-1", "pid": 4243, "state": "idle", "job": "", "restarts": 0, "jobs_done": 12},
        {
            "name": "compaction-1", "pid": 4244, "state": "busy", "restarts": 1, "jobs_done": 5,
            "job": "job 7 (compaction to level 2 of 000012.sst in /data/x)",
            "job_bytes_written": 12 << 20, "job_bytes": 31 << 20, "job_seconds": 1.5,
        },
    ],
    "snapshots": {"count": 2, "oldest_age_seconds": 61.0, "pinned_bytes": 1 << 20},
    "operations": {"get": {"count": 41000, "p50_seconds": 0.000004, "p99_seconds": 0.00031, "max_seconds": 0.012}},
    "gadget of a later release": {"turns": 3, "inner": {"deep": 1}},
    "later_count": 12345,
}  # fmt: skip

EVENTS = (
    {"time": "2026-01-31T12:00:39.000Z", "event": "table_deleted", "number": 7},
    {"time": "2026-01-31T12:00:40.000Z", "event": "worker_died", "worker": "compaction-1", "pid": 9, "job": "job 6"},
    {"time": "2026-01-31T12:01:07.123Z", "event": "compaction_finished", "input_levels": [1, 2], "output_level": 2,
     "bytes_read": 31 << 20, "bytes_written": 30 << 20, "seconds": 2.4},
    {"time": "2026-01-31T12:01:08.000Z", "event": "gadget_turned", "by": 7},
)  # fmt: skip


class Terminal(io.StringIO):
    """Text that was written to a terminal."""

    def isatty(self) -> bool:
        return True


def status(**changes: Any) -> StoreStatus:
    """A running store with a figure of every kind."""
    page = {"pid": 4242, "stats": FIGURES, "rates": {"gets_per_second": 41000.0, "granted_bytes_per_second": 2.9e7}}
    values: dict[str, Any] = {
        "path": "/data/x", "owner": "running", "text": "running", "age_seconds": 0.4, "page": page, "events": EVENTS,
    }  # fmt: skip
    return StoreStatus(**(values | changes))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with an open store in ``tmp_path / "store"``, which has worked and is idle now."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path / "store")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield process
        process.kill()


def test_a_running_store_a_killed_one_and_its_next_owner(
    owner: subprocess.Popen[str], run: Run, tmp_path: Path, eventually: Eventually
) -> None:
    """From another process: figures while it runs, its last state when it was killed, and the truth afterwards."""
    path = tmp_path / "store"
    eventually((path / "STATUS").exists)

    def look() -> dict[str, Any]:
        done = run("top", path, "--once", "--json")
        found: dict[str, Any] = json.loads(done.out)
        assert ("running" != found["owner"]) == done.code
        return found

    eventually(lambda: not look()["stats"]["running_jobs"])
    found = look()
    assert ("running", owner.pid, "open") == (found["owner"], found["pid"], found["state"])
    assert found["stats"]["levels"][0]["compactions"] > 0
    assert {"store_opened", "table_deleted"} <= {event["event"] for event in lsmproc.read_events(path)}
    assert "RUNNING" in run("top", path, "--once").out.decode()

    owner.send_signal(signal.SIGKILL)
    owner.wait(10)
    dead = look()
    assert ("dead", owner.pid, found["stats"]["levels"]) == (dead["owner"], dead["pid"], dead["stats"]["levels"])
    done = run("top", path, "--once")
    assert (1, True) == (done.code, f"its owner, pid {owner.pid}, died; this is its last state" in done.out.decode())

    with lsmproc.open(path, background="inline"):
        assert "unknown" == look()["owner"]
    assert "dead" == look()["owner"], "an owner that writes no page leaves that of the one before"


def test_a_store_that_is_closed_in_order_says_so(tmp_path: Path, run: Run, eventually: Eventually) -> None:
    """Its last page is not taken for that of a dead one; and a stopped owner is alive, but silent."""
    path = tmp_path / "store"
    with lsmproc.open(path, background="thread"):
        eventually(lambda: read_status(path).page)
        later = read_status(path, now_ns=lambda: time.time_ns() + 60_000_000_000)
        assert ("silent", True) == (later.owner, "has not written for" in later.text)
        assert 0 == run("top", path, "--once").code
    done = run("top", path, "--once")
    assert (1, True) == (done.code, f"closed in order by pid {os.getpid()}" in done.out.decode())


def test_a_terminal_shows_it_again_and_again_until_q(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In place, with rich; what is typed is not shown, and the terminal is as it was afterwards."""
    lsmproc.open(tmp_path / "store", background="inline").close()
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "lsmproc", "top", str(tmp_path / "store"), "--interval", "0.1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment) as shown:
        os.close(follower)
        request.addfinalizer(shown.kill)
        text = _read_until(leader, lambda text: text.count(b"CLOSED") >= 2)
        os.write(leader, b"xq")
        text += _read_until(leader, lambda _: False)
        assert 0 == shown.wait(20)
    os.close(leader)
    assert b"\x1b[?1049l" in text, "the screen from before is there again"


def test_the_screen_holds_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text, once: what an operator looks at."""
    expected = """\
RUNNING /data/x  pid 4242  up 3h12m
writes   SLOWDOWN by level 0 runs for 3.2 s   stalls: level 0 runs 2x 4.5 s; 1.2k writes waited 400 ms
rates    gets 41.0k/s
limiter  32.0 MiB/s [##########..] 86% used, waited 12.0 s in all
memtable 5.1 MiB, 41.0k records; 1 waiting, 8.0 MiB; log 13.1 MiB in 2 segments
cache    [###########.] 61.0 MiB of 64.0 MiB, hits 93.4%
readers  2 snapshots and iterators, the oldest 1m01, pinning 1.0 MiB
L0           3 tables   18.0 MiB  score  0.75 [########............]  w-amp 0.6
L1          10 tables   64.0 MiB  score  2.40 [####################]  w-amp 7.1
pending  44.0 MiB to compact
flush-1       idle     pid 4243    12 done
compaction-1  busy     pid 4244    5 done, 1 restarts  12.0 MiB of 31.0 MiB at most, 8.0 MiB/s, < 2.4 s left  \
compaction to level 2 of 000012.sst
get             41.0k  p50 4 us  p99 310 us  max 12 ms
gadget of a later release: turns 3
later_count: 12,345
12:00:40.000 worker compaction-1 died, pid 9, its job 6 is run again
12:01:07.123 compaction L1->L2: 31.0 MiB to 30.0 MiB in 2.4 s
12:01:08.000 gadget turned by 7"""
    assert expected.splitlines() == plain_lines(view_of(status(), 120), None)


@pytest.mark.parametrize("rich", [True, False])
def test_a_line_that_is_too_long_for_the_terminal_is_cut_and_not_folded(
    monkeypatch: pytest.MonkeyPatch, rich: bool
) -> None:
    """A folded line would push the lines below it off the screen."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    output = Terminal()
    with open_screen(output, once=True, rich=rich) as screen:
        lines = view_of(status(), screen.width)
        screen.show(lines)
    assert (60, len(lines)) == (screen.width, len(output.getvalue().splitlines()))


@pytest.mark.parametrize("width", [20, 40, 79])
def test_a_narrow_terminal_gets_no_longer_lines(width: int) -> None:
    """Bars and descriptions go first; whatever is still too long is cut."""
    lines = plain_lines(view_of(status(), width), width)
    assert max(map(len, lines)) <= width
    assert width >= 76 or not any("[####" in line for line in lines if line.startswith("L0"))


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"stats": {}},
        {"stats": [1]},
        {"stats": {"levels": "x", "workers": [1], "stall": None, "operations": {"get": 1}, "limiter": {}}},
        {"stats": dict.fromkeys(FIGURES, "text"), "rates": 3},
        {"stats": {key: [] for key in FIGURES}, "rates": {}},
        {"stats": {"workers": [{}], "levels": [{"files": "many"}], "block_cache": {"limit_bytes": True}}},
    ],
)
def test_pages_of_other_releases_and_of_strangers_are_shown_as_far_as_they_go(page: dict[str, Any]) -> None:
    """Fields may be missing or hold something else."""
    assert plain_lines(view_of(status(page=page, events=({}, {"event": 1})), 100), 100)


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A path or an error may hold anything, also what would move the cursor or change the title."""
    (line, *_) = plain_lines(view_of(status(path="/data/\x1b]0;x\x07\n"), 100), None)
    assert "RUNNING /data/.]0;x..  pid 4242  up 3h12m" == line


def test_without_rich_and_with_no_colour_the_text_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR turns colours off; a terminal without rich has none."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    texts = []
    for rich in (True, False):
        output = Terminal()
        with open_screen(output, once=True, rich=rich) as screen:
            screen.show(view_of(status(), 200))
        assert not re.search(r"\x1b\[[0-9;]*[34][0-7]", output.getvalue()), "a colour"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
        texts.append([line.rstrip() for line in plain.splitlines()])
    assert texts[0] == texts[1]
    output = Terminal()
    with open_screen(output, once=False, rich=False) as screen:
        screen.show(view_of(status(), screen.width))
    assert output.getvalue().startswith("\x1b[H\x1b[JRUNNING")


def test_every_kind_of_event_has_words() -> None:
    """Those of this release in words of their own, without a field that is not there."""
    from lsmproc.events import event as kinds

    for name in vars(kinds):
        if name[0].isupper() and name != "Event":
            words = event_words({"event": kinds._name_of(name), "bytes": 1})
            assert words, name
    assert "DAMAGE: x" == event_words({"event": "corruption_found", "message": "x"})


def test_figures_are_short() -> None:
    """They stand in columns."""
    assert ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "2.0 TiB"] == [size(n) for n in (0, 1023, 1024, 1.5 * 2**30, 2**41)]
    assert ["999", "1.0k", "3.2M", "1.0T"] == [amount(n) for n in (999, 1000, 3_200_000, 10**12)]
    assert ["850 us", "12 ms", "3.4 s", "5m07", "3h12m", "4d03h"] == [
        duration(n) for n in (0.00085, 0.012, 3.4, 307, 11520, 4 * 86400 + 10900)
    ]
    assert ["....", "##..", "####"] == [bar(share, 4) for share in (-1, 0.5, 9)]


def test_no_store_a_bad_interval_and_a_store_without_a_page(run: Run, tmp_path: Path) -> None:
    """Exit code 2 where nothing can be said, 1 where there is no living owner."""
    assert 2 == run("top", tmp_path / "none", "--once").code
    done = run("top", tmp_path, "--once", "--interval", "0")
    assert (2, True) == (done.code, "shortest" in done.err)
    with lsmproc.open(tmp_path / "store", background="inline"):
        done = run("top", tmp_path / "store", "--once")
        assert (1, True) == (done.code, "writes no status page" in done.out.decode())
    assert "no owner has ever left a status page" in run("top", tmp_path / "store", "--once").out.decode()


def _read_until(fd: int, reached: Callable[[bytes], bool], timeout: float = 20.0) -> bytes:
    """What comes out of a terminal, until it is enough or the other end is closed."""
    text, deadline = b"", time.monotonic() + timeout
    while not reached(text) and select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            text += os.read(fd, 65536)
        except OSError as error:
            assert errno.EIO == error.errno
            break
    return text
