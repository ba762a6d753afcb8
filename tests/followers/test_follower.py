"""What a follower offers, and what it refuses."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc import ClosedError, ConfigError, Follower, LSMStore, NotAStoreError, ReadOnlyError
from tests.tally import Tally
from tests.trouble.private_mounts import NAMESPACE, why_not

Own = Callable[..., LSMStore]
Follow = Callable[..., Follower]

PACKAGE_PARENT = str(Path(lsmproc.__file__).parents[1])


def fill(store: LSMStore) -> None:
    """Records in tables of several levels, in immutable places, and in the log; deletes and a batch among them."""
    for number in range(400):
        store.put(b"key %03d" % (number % 150), b"value %d" % number)
    store.delete(b"key 007")
    store.flush_memtable()
    with store.write_batch() as batch:
        batch.put(b"key 008", b"")
        batch.put(b"log", b"last")
        batch.delete(b"key 009")


def test_a_follower_reads_what_the_owner_reads_by_every_way(own: Own, follow: Follow) -> None:
    """Point reads, ranges, cursors and dict operators agree with the owner's."""
    store = own()
    fill(store)
    follower = follow()
    keys = [b"key %03d" % number for number in range(150)] + [b"log", b"no"]
    assert [store.get(key) for key in keys] == [follower.get(key) for key in keys]
    assert store.get_many(keys, b"?") == follower.get_many(keys, b"?")
    assert list(store.range()) == list(follower.range())
    assert list(store.range(b"key 01", b"key 03", reverse=True)) == list(
        follower.range(b"key 01", b"key 03", reverse=True)
    )
    assert list(store.range(prefix=b"key 1")) == list(follower.range(prefix=b"key 1"))
    assert list(store) == list(follower) == list(follower.keys())
    assert list(store.values(b"key 1")) == list(follower.values(b"key 1"))
    assert list(store.items()) == list(follower.items())
    cursor = follower.iterator(start=b"key 100")
    assert [b"key 100", b"key 101", b"key 101"] == [next(cursor)[0], next(cursor)[0], cursor.prev()[0]]
    assert b"" == follower[b"key 008"]
    assert b"key 008" in follower
    assert b"key 007" not in follower
    with pytest.raises(KeyError):
        follower[b"key 009"]
    assert b"?" == follower.get(b"no", b"?")
    of_owner, seen = store.get_with_meta(b"log"), follower.get_with_meta(b"log")
    assert of_owner is not None
    assert seen is not None
    assert of_owner.sequence == seen.sequence
    assert "table" == getattr(follower.get_with_meta(b"key 010"), "source", None)


def test_each_mode_looks_for_news_when_it_says(own: Own, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each read, at the first read after the interval, or when told."""
    now = 100.0
    monkeypatch.setattr("lsmproc.follower.follower.monotonic", lambda: now)
    store = own()
    reading, waiting, told = follow(), follow(refresh="interval", poll_interval=0.5), follow(refresh="manual")
    store.put(b"a", b"1")
    assert [b"1", None, None] == [each.get(b"a") for each in (reading, waiting, told)]
    now += 0.5
    assert [b"1", b"1", None] == [each.get(b"a") for each in (reading, waiting, told)]
    store.put(b"a", b"2")
    assert [[b"2"], [b"1"], [None]] == [each.get_many([b"a"]) for each in (reading, waiting, told)]
    newest = store.snapshot().sequence
    assert [newest] * 2 == [each.refresh() for each in (waiting, told)]
    assert [[(b"a", b"2")]] * 3 == [list(each.range()) for each in (reading, waiting, told)]


def test_lag_tells_what_is_missing_without_fetching_it(own: Own, follow: Follow) -> None:
    """In sequence numbers and in seconds, wherever the missing writes are: in the log, or in tables already."""
    store, follower = own(), None
    store.put(b"a", b"1")
    follower = follow(refresh="manual")
    shown = store.snapshot().sequence
    assert (shown, shown, 0.0) == follower.lag()
    for end in ("log", "next segment", "table"):
        store.put(b"a", end.encode())
        if end == "table":
            store.flush_memtable()
        elif end == "next segment":
            fill(store)
        newest = store.snapshot().sequence
        assert (shown, newest, (newest - shown) / 1e9) == follower.lag()
        assert b"1" == follower.get(b"a")
    assert newest == follower.refresh()
    assert (newest, newest, 0.0) == follower.lag()
    assert b"table" == follower.get(b"a")


def test_a_snapshot_outlives_the_tables_that_it_reads(own: Own, follow: Follow, directory: Path) -> None:
    """The owner removes them, the follower holds them open, and lets go of them with the snapshot."""
    store = own()
    fill(store)
    store.flush_memtable()
    follower = follow()
    expected = list(store.range())
    snapshot = follower.snapshot()
    tables = set(directory.glob("*.sst"))
    fill(store)
    store.compact_range()
    for key in list(store):
        store.put(key, b"new")
    store.compact_range()
    follower.refresh()
    assert set() == tables & set(directory.glob("*.sst"))
    assert expected == list(snapshot.range())
    assert {b"new"} == set(follower.values())
    assert b"last" == follower.get(b"log", snapshot=snapshot)
    assert expected == list(follower.range(snapshot=snapshot))
    assert follower.stats().tables < follower.stats().held_tables
    snapshot.close()
    follower.refresh()
    assert follower.stats().tables == follower.stats().held_tables


def test_flushed_memtables_are_dropped(own: Own, follow: Follow) -> None:
    """What is in a table needs no memory of its own."""
    store = own(memtable_max_bytes=1 << 20)
    fill(store)
    follower = follow()
    assert 0 < follower.stats().memtable_entries
    store.flush_memtable()
    follower.refresh()
    stats = follower.stats()
    assert (0, 1, 1) == (stats.memtable_entries, stats.log_segments, stats.epoch)
    assert sum(file.size for file in store.live_files()) == stats.table_bytes


def test_a_follower_refuses_to_write(own: Own, follow: Follow) -> None:
    """With the error of a read-only store, which says where to write."""
    own().put(b"a", b"1")
    follower: Any = follow()
    writes: list[Callable[[], object]] = [
        lambda: follower.put(b"a", b"2", sync=True),
        lambda: follower.delete(b"a"),
        follower.write_batch,
        lambda: follower.__setitem__(b"a", b"2"),
        lambda: follower.__delitem__(b"a"),
    ]
    for write in writes:
        with pytest.raises(ReadOnlyError, match="process that owns"):
            write()


def test_a_follower_needs_a_store_and_makes_none(tmp_path: Path) -> None:
    """Nowhere, in an empty directory, in a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("nowhere", "empty", "file"):
        with pytest.raises(NotAStoreError, match="a follower needs one"):
            lsmproc.open_follower(tmp_path / name)
    assert ["empty", "file"] == sorted(os.listdir(tmp_path))
    assert [] == os.listdir(tmp_path / "empty")


@pytest.mark.parametrize(
    "options",
    [{"refresh": "always"}, {"poll_interval": -1}, {"poll_interval": float("nan")}, {"block_cache_bytes": "many"}],
)
def test_arguments_that_cannot_work_are_named(own: Own, directory: Path, options: dict[str, Any]) -> None:
    """As one ConfigError."""
    own()
    with pytest.raises(ConfigError, match=next(iter(options))):
        lsmproc.open_follower(directory, **options)


def test_a_closed_follower_says_so(own: Own, follow: Follow) -> None:
    """So does everything that was made with it; closing again does no harm."""
    store = own()
    fill(store)
    follower = follow()
    snapshot, cursor, scan = follower.snapshot(), follower.iterator(), follower.range()
    assert "at seq=" in repr(follower)
    follower.close()
    follower.close()
    assert follower.closed
    assert "closed" in repr(follower)
    uses: list[Callable[[], object]] = [
        lambda: follower.get(b"a"),
        lambda: follower.get_many([b"a"]),
        follower.snapshot,
        follower.refresh,
        follower.lag,
        follower.__enter__,
        lambda: snapshot.get(b"a"),
        lambda: next(cursor),
        lambda: next(scan),
    ]
    for use in uses:
        with pytest.raises(ClosedError):
            use()


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_follower_cannot_be_copied(own: Own, follow: Follow, duplicate: Callable[[object], object]) -> None:
    """The error has the line to write instead."""
    own()
    with pytest.raises(TypeError, match=r"lsmproc\.open_follower\("):
        duplicate(follow())


FORK = """
import os, sys, warnings, lsmproc
warnings.simplefilter("ignore", DeprecationWarning)
owner = lsmproc.open("store", background="inline")
owner.put(b"a", b"1")
owner.flush_memtable()
owner.put(b"b", b"2")
follower = lsmproc.open_follower("store", refresh="read")
snapshot, cursor, scan = follower.snapshot(), follower.iterator(), follower.range()
uses = [
    lambda: follower.get(b"a"), lambda: follower.get_many([b"a"]), lambda: list(follower), follower.refresh,
    follower.lag, follower.snapshot, lambda: snapshot.get(b"a"), lambda: next(cursor), lambda: next(scan),
]
pid = os.fork()
if pid == 0:
    raised = []
    for use in uses:
        try:
            raised.append(repr(use()))
        except lsmproc.ForkedHandleError as error:
            assert str(os.getppid()) in str(error) and "after the fork" in str(error), error
        except BaseException as error:
            raised.append(repr(error))
    with lsmproc.open_follower("store") as own:
        assert [b"a", b"b"] == list(own)
    snapshot.close(); cursor.close(); follower.close()
    paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    names = [os.readlink(path) for path in paths if os.path.lexists(path)]
    print("child:", raised, [name for name in names if ".sst" in name], flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
owner.put(b"c", b"3")
assert [b"a", b"b", b"c"] == list(follower), list(follower)
follower.close(); owner.close()
print("parent: fine")
"""


def run_script(body: str, directory: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a script in ``directory``."""
    return subprocess.run(
        [sys.executable, *flags, "-c", body],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": PACKAGE_PARENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    """Every use of the parent's handle raises ForkedHandleError there, and no table of it stays open."""
    done = run_script(FORK, tmp_path)
    assert ("", ["child: [] []", "parent: fine"]) == (done.stderr, done.stdout.splitlines())


def test_a_forgotten_close_costs_a_warning_only(own: Own, directory: Path) -> None:
    """As for files and stores."""
    own().put(b"a", b"1")
    script = f"import lsmproc\nfollower = lsmproc.open_follower({str(directory)!r})\nprint(follower[b'a'])\n"
    done = run_script(script, directory.parent, "-W", "always::ResourceWarning")
    assert "b'1'\n" == done.stdout
    assert "ResourceWarning: <Follower" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_follower_leaves_no_trace(own: Own, follow: Follow, directory: Path) -> None:
    """Names, sizes, times and contents are the same, the owner can be opened beside it, and nothing stays open."""

    def content() -> dict[str, tuple[int, int, int, bytes]]:
        paths = [directory, *directory.rglob("*")]
        status = {path: path.stat() for path in paths}
        return {
            str(path): (each.st_ino, each.st_size, each.st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
            for path, each in status.items()
        }

    store = own()
    fill(store)
    store.close()
    before, descriptors = content(), len(os.listdir("/proc/self/fd"))
    follower = follow()
    assert len(list(follower)) == len(list(follower.snapshot()))
    follower.refresh()
    follower.lag()
    again = own()
    again.close()
    follower.close()
    assert descriptors == len(os.listdir("/proc/self/fd"))
    after_owner = content()
    with lsmproc.open_follower(directory) as another:
        assert 148 < len(list(another))
        assert content() == after_owner
    assert before.keys() - after_owner.keys()  # The owner was there; it is the follower that leaves no trace.


READ_ONLY = """
import os, subprocess, sys, lsmproc
os.mkdir("mount")
subprocess.run(["mount", "--bind", "store", "mount"], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", "mount"], check=True)
try:
    open("mount/file", "w")
except OSError:
    pass
else:
    sys.exit("the mount can be written")
with lsmproc.open("store", background="inline", memtable_max_bytes=4096) as owner:
    with lsmproc.open_follower("mount", refresh="read") as follower:
        for number in range(300):
            owner.put(b"%03d" % number, b"v" * 100)
            assert follower.get(b"%03d" % number) == b"v" * 100
        owner.compact_range()
        assert list(owner.range()) == list(follower.range())
print("fine")
"""


def test_a_read_only_mount_can_be_followed(tmp_path: Path, tally: Tally) -> None:
    """While the owner writes through another one."""
    if reason := why_not():
        tally.skip("followers on a read-only mount", 1, reason)
    (tmp_path / "store").mkdir()
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", READ_ONLY],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PACKAGE_PARENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("fine\n", "") == (done.stdout, done.stderr)
    tally.add("followers on a read-only mount")


def test_threads_share_a_follower(own: Own, follow: Follow) -> None:
    """Each sees whole batches only in ranges, and never goes back, while the owner writes and merges."""
    store, follower = own(), follow()
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        last = -1
        while not done.is_set():
            try:
                values = set(follower.values(prefix=b"key"))
                number = int(follower.get(b"key 0", b"-1"))
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                failures.append(error)
                return
            if len(values) > 1 or number < last:
                failures.append((values, number, last))
            last = number

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(150):
        with store.write_batch() as batch:
            for key in range(20):
                batch.put(b"key %d" % key, b"%d" % number)
    done.set()
    for thread in threads:
        thread.join(20)
    assert [] == failures
