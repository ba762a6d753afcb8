"""``python -m tests.faults.failing_device DIRECTORY drop|keep``: a store on ext4 whose device refuses to write.

To be run as root in a mount namespace of its own, see ``test_failed_syncs``. The image of the file system
lies on a small tmpfs; a hole is made in it where the log segment lies and the tmpfs is filled, so the loop device fails
each write there, and ext4's fdatasync of the log fails with it, while its journal goes on. Then there is room again,
the store is opened again, perhaps the cache is dropped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import DurabilityError, Error, NoSpaceError, StorageError

NOT_BROKEN = "the sync on a broken device went through"
BLOCK_BYTES = 1024


def run(*command: object) -> str:
    """A command that must work."""
    return subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True).stdout.strip()


def open_store(path: Path) -> LSMStore:
    """Without threads: syncs come when they are asked for."""
    config = LSMConfig.from_options(path, wal_sync="none", memtable_max_bytes=4 << 20)
    return LSMStore(config, env=Env(background="inline"))


def main(directory: Path, *, drop_caches: bool) -> dict[str, int]:
    """The whole story; how many writes were acknowledged, and how many the next owner has."""
    backing, mounted = directory / "backing", directory / "mounted"
    backing.mkdir()
    mounted.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", backing)
    run("fallocate", "-l", "32M", backing / "image")
    run("mkfs.ext4", "-qF", "-b", BLOCK_BYTES, "-E", "lazy_itable_init=0,nodiscard", backing / "image")
    # mkfs punches holes where it writes zeros; the journal and the inode tables need their pages later.
    run("fallocate", "-l", "32M", backing / "image")
    device = run("losetup", "-f", "--show", backing / "image")
    try:
        run("mount", "-o", "errors=continue", device, mounted)
        try:
            return story(backing, mounted, drop_caches=drop_caches)
        finally:
            run("umount", "-l", mounted)
    finally:
        run("losetup", "-d", device)


def story(backing: Path, mounted: Path, *, drop_caches: bool) -> dict[str, int]:
    """Write, let a sync fail, write no more, make room, open again."""
    db = open_store(mounted / "db")
    state = {b"%05d" % number: os.urandom(900) for number in range(1500)}
    for key, value in list(state.items())[:100]:
        db.put(key, value)
    db.sync()
    make_hole(backing / "image", Path(db.path) / "000001.wal", db._write_path._wal.durable_end)
    fill(backing)
    for key, value in list(state.items())[100:]:
        db.put(key, value)
    expect_failure(db.sync)
    expect_failure(lambda: db.put(b"refused", b""))
    expect_failure(lambda: db.put(b"refused", b"", sync=True))
    assert state == dict(db.range())
    with suppress(Error):
        db.close()
    (backing / "filler").unlink()
    second = open_store(mounted / "db")
    assert state == dict(second.range())
    second.sync()
    if drop_caches:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    second.close()
    with open_store(mounted / "db") as third:
        found = dict(third.range())
    assert state == found
    return {"acknowledged": len(state), "found": len(found)}


def make_hole(image: Path, segment: Path, durable_end: int) -> None:
    """Take the pages of the image away that hold the segment from the next block behind ``durable_end`` on."""
    first = durable_end // BLOCK_BYTES + 1
    for line in run("filefrag", "-e", "-v", segment).splitlines():
        fields = line.replace("..", " ").replace(":", " ").split()
        if not fields or not fields[0].isdecimal():
            continue
        logical, physical, length = int(fields[1]), int(fields[3]), int(fields[5])
        skipped = max(0, first - logical)
        if skipped < length:
            place = ["-o", (physical + skipped) * BLOCK_BYTES, "-l", (length - skipped) * BLOCK_BYTES]
            run("fallocate", "--punch-hole", *place, image)


def fill(backing: Path) -> None:
    """Leave not a page of the tmpfs free."""
    with open(backing / "filler", "wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass


def expect_failure(call: object) -> None:
    """The call must raise what a failed sync leads to."""
    try:
        call()  # type: ignore[operator]
    except DurabilityError:
        return
    except (NoSpaceError, StorageError) as error:
        raise AssertionError(f"{error!r} in place of a DurabilityError") from error
    raise AssertionError(NOT_BROKEN)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), drop_caches=sys.argv[2] == "drop")) + "\n")
