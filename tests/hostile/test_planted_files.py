"""A directory that somebody else has prepared: what stands in the place of a file is not followed nor waited for."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import lsmproc
from lsmproc.errors import Error
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.verification import verify_store
from tests.tally import Tally

MAX_SECONDS = 10.0  # Two are enough on an idle machine; what hangs, hangs for ever.
VICTIM = b"of somebody else"
PLACES = ("CURRENT", "MANIFEST-*", "*.wal", "*.sst", "LOCK", "tmp")

Plant = Callable[[Path, Path], None]


def fifo(place: Path, victim: Path) -> None:
    """A named pipe: opening it waits for a writer."""
    os.mkfifo(place)


def unix_socket(place: Path, victim: Path) -> None:
    """A socket that nobody listens on."""
    here = os.open(place.parent, os.O_RDONLY)  # The path of a socket has up to about a hundred bytes.
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{place.name}")
    finally:
        os.close(here)


def directory(place: Path, victim: Path) -> None:
    """A directory, which can be opened and not be read."""
    place.mkdir()


def device(place: Path, victim: Path) -> None:
    """A device without an end."""
    os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: endless


def link(place: Path, victim: Path) -> None:
    """A link to what is there, outside."""
    place.symlink_to(victim / place.name if victim.is_dir() else victim)


def dangling_link(place: Path, victim: Path) -> None:
    """A link to what is not there: opening it could make it."""
    place.symlink_to(victim.parent / "made-by-mistake")


def link_to_fifo(place: Path, victim: Path) -> None:
    """Both."""
    os.mkfifo(victim.parent / "pipe")
    place.symlink_to(victim.parent / "pipe")


PLANTS: list[Plant] = [fifo, unix_socket, directory, device, link, dangling_link, link_to_fifo]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a table and a log."""
    path = tmp_path_factory.mktemp("original") / "store"
    with lsmproc.open(path, background="inline", wal_sync="none") as db:
        db.put(b"a", b"1")
        db.flush_memtable()
        db.put(b"b", b"2")
    return path


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_what_stands_in_the_place_of_a_file_is_named_and_not_touched(
    place: str, plant: Plant, original: Path, tmp_path: Path, tally: Tally
) -> None:
    """Reading, writing and verifying come to an end, and nothing outside of the directory changes."""
    if plant is device and not _may_make_devices(tmp_path):
        tally.skip("devices in the place of files", 3, "only root makes device nodes")
    if plant is unix_socket and not Path("/proc/self/fd").is_dir():
        tally.skip("sockets in the place of files", 3, "it takes /proc to bind below a long path")
    for use in (_verify, _read, _write):
        folder = tmp_path / use.__name__
        store, outside = folder / "store", folder / "outside"
        shutil.copytree(original, store)
        outside.mkdir()
        victim = outside / "victim"
        victim.write_bytes(VICTIM)
        planted = next(store.glob(place))
        _remove(planted)
        plant(planted, victim)
        before = _state(outside)
        found = _within_deadline(lambda use=use, store=store: use(store))  # type: ignore[misc]
        if planted.name not in found:
            # A directory may stand in the place of tmp, and who only reads looks neither into tmp nor into LOCK's text.
            assert (place, found) in {("tmp", ""), ("tmp", "nothing raised")}, found
        assert before == _state(outside)
        tally.add("files replaced by pipes, sockets, devices, directories and links")


def test_a_named_pipe_is_refused_and_a_regular_file_is_opened_as_before(tmp_path: Path) -> None:
    """Also by the one call that both owner and workers use."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    fs = PosixFileSystem(str(tmp_path))
    for flags in (os.O_RDONLY, os.O_RDWR):
        with pytest.raises(lsmproc.StorageError, match=r"not a regular file.*pipe"):
            fs.open("pipe", flags)
        fs.close(fs.open("file", flags))
    fs.shut()


def test_outputs_are_not_written_through_a_link(tmp_path: Path) -> None:
    """The directory tmp may lead anywhere: files made below it would stand there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tmp").symlink_to(tmp_path / "elsewhere")
    fs = PosixFileSystem(str(tmp_path))
    with pytest.raises(lsmproc.StorageError, match="tmp"):
        fs.make_directory("tmp")
    fs.shut()


def _verify(store: Path) -> str:
    return "\n".join(map(str, verify_store(store).problems))


def _read(store: Path) -> str:
    with lsmproc.open(store, read_only=True, background="inline") as db:
        dict(db.range())
    return "nothing raised"


def _write(store: Path) -> str:
    with lsmproc.open(store, background="inline") as db:
        db.put(b"c", b"3")
        db.compact_range()
        dict(db.range())
    return "nothing raised"


def _within_deadline(call: Callable[[], str]) -> str:
    """What a call returned or raised, as text; fails if it has not ended in time."""
    found: list[str] = []

    def run() -> None:
        try:
            found.append(call())
        except Error as error:
            found.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    assert not thread.is_alive(), f"not within {MAX_SECONDS} s"
    assert found, "it raised something else"
    return found[0]


def _state(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """Names, modes, times and contents below a directory."""
    return [
        (path.name, (status := path.lstat()).st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    ]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _may_make_devices(folder: Path) -> bool:
    try:
        os.mknod(folder / "probe", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        return False
    (folder / "probe").unlink()
    return True
