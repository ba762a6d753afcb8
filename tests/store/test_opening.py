"""Who may open a store, with what flags, and what becomes of a handle that is forked or forgotten."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc import LockedError, LSMStore, NotAStoreError, ReadOnlyError
from lsmproc.errors import StorageError
from lsmproc.opening.store_parts import CLOSE_SECONDS
from lsmproc.storage.file_system import PosixFileSystem, storage_error

OpenStore = Callable[..., LSMStore]
RunScript = Callable[..., "subprocess.CompletedProcess[str]"]

WAIT_SECONDS = 20.0


def test_a_store_is_made_where_there_is_none(open_store: OpenStore, tmp_path: Path) -> None:
    """With its parent directories, for its owner's eyes only, whatever the umask."""
    umask = os.umask(0)
    try:
        open_store("new/parents/store").put(b"a", b"1")
    finally:
        os.umask(umask)
    made = [tmp_path / "new/parents/store", *(tmp_path / "new/parents/store").iterdir()]
    assert {0o700 if path.is_dir() else 0o600 for path in made} == {path.stat().st_mode & 0o777 for path in made}


def test_create_if_missing_and_error_if_exists(open_store: OpenStore, tmp_path: Path) -> None:
    """The first refuses to make a store, the second to open one that is there."""
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "empty"):
        with pytest.raises(NotAStoreError, match="create_if_missing=True"):
            open_store(name, create_if_missing=False)
    assert ["empty"] == os.listdir(tmp_path)
    assert [] == os.listdir(tmp_path / "empty")
    open_store(error_if_exists=True).close()
    with pytest.raises(NotAStoreError, match="error_if_exists"):
        open_store(error_if_exists=True)
    open_store(create_if_missing=False)


def test_a_read_only_handle_reads_everything(open_store: OpenStore) -> None:
    """Tables and unflushed log alike, by every way to read."""
    store = open_store()
    store.put(b"table", b"1")
    store.flush_memtable()
    store.put(b"log", b"2")
    store.close()
    store = open_store(read_only=True)
    assert [(b"log", b"2"), (b"table", b"1")] == list(store.items())
    assert [b"1", b"2"] == store.get_many([b"table", b"log"])
    with store.snapshot() as snapshot:
        assert b"2" == snapshot.get(b"log")
    assert 1 == store.stats().levels[0].files
    assert "open" in repr(store)
    store.wait_idle(WAIT_SECONDS)
    assert [b"table"] == [table.largest for table in store.live_files()]


@pytest.mark.parametrize("background", ["inline", "thread"])
def test_a_read_only_handle_refuses_every_change(open_store: OpenStore, tmp_path: Path, background: str) -> None:
    """And the directory is the same afterwards, but for LOCK."""
    store = open_store(level0_compaction_trigger=19)
    for number in range(6):
        store.put(b"%d" % number, b"1")
        store.flush_memtable()
    store.put(b"log", b"2")
    store.close()

    def content() -> dict[str, bytes]:
        paths = (tmp_path / "store").iterdir()
        return {path.name: path.read_bytes() for path in paths if path.is_file() and path.name != "LOCK"}

    before = content()
    store = open_store(read_only=True, background=background, level0_compaction_trigger=2)
    changes: list[Callable[[], object]] = [
        lambda: store.put(b"a", b"1"),
        lambda: store.delete(b"a"),
        lambda: store.put(b"a", b"1", sync=True),
        lambda: store.__setitem__(b"a", b"1"),
        store.flush_memtable,
        lambda: store.compact_level(0, timeout=WAIT_SECONDS),
        lambda: store.compact_range(timeout=WAIT_SECONDS),
    ]
    for change in changes:
        with pytest.raises(ReadOnlyError, match="read_only"):
            change()
    with pytest.raises(ReadOnlyError), store.write_batch() as batch:
        batch.put(b"a", b"1")
    store.wait_idle(WAIT_SECONDS)
    store.close(flush=True)
    assert before == content()


def test_a_read_only_handle_needs_a_store(open_store: OpenStore, tmp_path: Path) -> None:
    """It makes none."""
    with pytest.raises(NotAStoreError):
        open_store(read_only=True)
    assert [] == os.listdir(tmp_path)


def test_a_second_handle_in_the_same_process_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    """Whatever path leads to the directory; the first handle goes on, and lets go when it closes."""
    store = open_store()
    store.put(b"a", b"1")
    (tmp_path / "link").symlink_to("store")
    for path in ("store", "link", "link/../store"):
        with pytest.raises(LockedError, match=f"pid {os.getpid()} on {socket.gethostname()}") as refused:
            open_store(path)
        assert f"pid {os.getpid()}" in refused.value.owner
    store.put(b"b", b"2")
    store.close()
    assert [b"a", b"b"] == list(open_store("link"))


HOLD = """
import sys, lsmproc
with lsmproc.open("store", background="inline") as store:
    store.put(b"a", b"1")
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_is_refused_until_the_first_closes_or_dies(open_store: OpenStore, tmp_path: Path) -> None:
    """The error names pid and host of the owner; ``lock_wait_seconds`` waits for it to let go."""
    for end in ("close", "kill"):
        owner = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(lsmproc.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with owner:
            assert owner.stdout is not None
            assert owner.stdin is not None
            assert "open\n" == owner.stdout.readline()
            with pytest.raises(LockedError, match=f"pid {owner.pid} on {socket.gethostname()}"):
                open_store()
            began = time.monotonic()
            with pytest.raises(LockedError):
                open_store(lock_wait_seconds=0.2)
            assert 0.2 <= time.monotonic() - began < WAIT_SECONDS
            if end == "close":
                owner.stdin.write("\n")
                owner.stdin.flush()
            else:
                owner.kill()
            with open_store(lock_wait_seconds=WAIT_SECONDS) as store:
                assert b"1" == store.get(b"a")


FORK = """
import os, sys, warnings, lsmproc
warnings.simplefilter("ignore", DeprecationWarning)
store = lsmproc.open("store", background="{background}", memtable_max_bytes=2048)
store.put(b"before", b"1")
store.flush_memtable()
snapshot, iterator, scan = store.snapshot(), store.iterator(), store.range()
uses = [
    lambda: store.put(b"child", b"1"), lambda: store.get(b"before"), lambda: store.delete(b"before"),
    lambda: store.snapshot(), lambda: store.range(), lambda: list(store), lambda: store.flush_memtable(timeout=5),
    lambda: store.compact_level(0, timeout=5), lambda: store.wait_idle(5), lambda: store.stats(), lambda: store.sync(),
    lambda: store.get_many([b"before"]), lambda: store.live_files(),
    lambda: snapshot.get(b"before"), lambda: next(iterator), lambda: next(scan),
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
    snapshot.close(); iterator.close(); store.close()
    print("child:", raised, repr(store)[:9], flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
for number in range(100):
    store.put(b"%03d" % number, b"v" * 100)
store.flush_memtable(timeout=20)
assert [b"before"] == list(snapshot), list(snapshot)
assert 101 == len(list(store))
store.close()
print("parent: fine", flush=True)
"""


@pytest.mark.parametrize("background", ["inline", "thread", "process"])
def test_a_forked_child_cannot_use_the_handle_and_does_no_harm(
    run_script: RunScript, open_store: OpenStore, background: str
) -> None:
    """Every use raises ForkedHandleError there; the parent goes on, and nothing keeps the lock afterwards."""
    finished = run_script(FORK.format(background=background))
    assert "" == finished.stderr
    assert ["child: [] <LSMStore", "parent: fine"] == finished.stdout.splitlines()
    assert 101 == len(list(open_store()))


def test_a_forked_child_that_lives_on_does_not_keep_the_lock(run_script: RunScript) -> None:
    """The parent closes and opens again while the child is still there, and so may the child after that."""
    finished = run_script("""
import os, warnings, lsmproc
warnings.simplefilter("ignore", DeprecationWarning)
store = lsmproc.open("store", background="thread")
store.put(b"a", b"1")
go = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go[1])
    os.read(go[0], 1)
    with lsmproc.open("store", background="thread") as own:
        own.put(b"child", own[b"a"])
        own.flush_memtable(timeout=20)
    os._exit(0)
store.close()
with lsmproc.open("store", background="thread") as again:
    again.put(b"b", b"2")
os.write(go[1], b"x")
assert os.waitpid(pid, 0)[1] == 0
with lsmproc.open("store", background="inline") as store:
    print(list(store))
""")
    assert ("[b'a', b'b', b'child']\n", "") == (finished.stdout, finished.stderr)


FORGET = """
import lsmproc, time
def work():
    store = lsmproc.open("store", background="{background}", memtable_max_bytes=4096)
    for number in range(500):
        store.put(b"%03d" % number, b"v" * 50)
    store.snapshot()
    print(time.monotonic(), flush=True)
    return store
{use}
"""


@pytest.mark.parametrize("background", ["inline", "thread", "process"])
@pytest.mark.parametrize("use", ["work()", "kept = work()"], ids=["dropped", "kept until the end"])
def test_a_forgotten_close_costs_a_warning_only(
    run_script: RunScript, open_store: OpenStore, background: str, use: str
) -> None:
    """The program ends soon after its own work, sooner than a close may wait; no worker is left, no write is lost."""
    finished = run_script(FORGET.format(background=background, use=use), flags=("-W", "always::ResourceWarning"))
    assert 0 == finished.returncode, finished.stderr
    assert CLOSE_SECONDS > time.monotonic() - float(finished.stdout)  # the clock of the whole machine
    assert "ResourceWarning: <LSMStore" in finished.stderr
    assert "was not closed" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert 500 == len(list(open_store()))


def test_a_dropped_store_lets_go_of_its_directory(open_store: OpenStore, tmp_path: Path) -> None:
    """With a warning, but no later than the next collection."""
    store: LSMStore | None = lsmproc.open(tmp_path / "store", background="thread")
    assert store is not None
    store.put(b"a", b"1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = None
    assert [ResourceWarning] == [warning.category for warning in caught]
    caught.clear()  # a recorded warning refers to the store it is about
    assert b"1" == open_store().get(b"a")


@pytest.mark.parametrize("background", ["inline", "thread", "process"])
def test_stores_share_an_env(open_store: OpenStore, background: Any, tiny: dict[str, Any]) -> None:
    """One pool, limiter and cache for all of them; closing one store does not stop the others' work."""
    with lsmproc.Env(background=background, flush_workers=1, compaction_workers=1) as env:
        stores = [open_store(f"store {number}", env=env, **tiny) for number in range(5)]
        for number in range(100):
            for store in stores:
                store.put(b"%d" % number, store.path.encode())
        stores.pop(0).close()
        for store in stores:
            assert env is store.env
            store.flush_memtable(timeout=WAIT_SECONDS)
            store.compact_range(timeout=WAIT_SECONDS)
            assert {store.path.encode()} == set(store.values())
        workers = stores[0].stats().workers
        assert (0 if background == "inline" else 2) == len(workers)
        assert workers == () or 10 <= sum(worker.jobs_done for worker in workers)
        for store in stores:
            store.close()
    with pytest.raises(lsmproc.ClosedError):
        open_store("store 0", env=env).flush_memtable()


def test_a_private_env_ends_with_its_store(open_store: OpenStore) -> None:
    """Its worker threads are gone and its background refuses work."""
    store = open_store(background="thread")
    env = store.env
    store.close()
    with pytest.raises(lsmproc.ClosedError):
        env.background.call_soon(lambda: None)


def test_a_write_to_a_read_only_mount_says_how_to_read_there(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system says about it names no way out."""
    open_store().close()
    really_open = PosixFileSystem.open

    def refuse(self: PosixFileSystem, name: str, flags: int) -> int:
        if flags & os.O_ACCMODE:
            raise storage_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), name)
        return really_open(self, name, flags)

    monkeypatch.setattr(PosixFileSystem, "open", refuse)
    with pytest.raises(StorageError, match=r"read_only=True.*open_follower") as refused:
        open_store()
    assert errno.EROFS == refused.value.errno
