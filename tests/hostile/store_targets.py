"""Whole directories: a store whose files are damaged, and a store put together by hand around a crafted table."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from zlib import crc32

import lsmproc
from lsmproc.errors import CorruptionError, Error
from lsmproc.formats.log_format import KIND_MANIFEST, LogHeader, encode_header, put_body
from lsmproc.formats.version_edit import VersionEdit, encode_version_edit
from lsmproc.verification import verify_store
from tests.hostile import log_targets, table_targets
from tests.hostile.mutation import changed_bytes

Case = Callable[[Random], bool]

MOST_RECORDS = 1000  # of any store here: an iteration that goes on is one that never ends


def damaged_stores() -> Case:
    """A real store, a file or two of which are changed or exchanged."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        with lsmproc.open(store, background="inline", wal_sync="none", block_bytes=128) as db:
            for number in range(40):
                db.put(b"key%02d" % (number % 25), b"v" * number)
                if number in {15, 30}:
                    db.flush_memtable()
        original = {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}

    def case(rng: Random) -> bool:
        files = dict(original)
        for name in rng.sample(sorted(files), rng.randint(1, 2)):
            match rng.randrange(8):
                case 0:
                    files[name] = files[rng.choice(sorted(files))]
                case 1:
                    del files[name]
                case 2:
                    files[
                        rng.choice((name + "x", "000099.wal", "000098.sst", "\udcff\udcfe.sst", "MANIFEST-999999"))
                    ] = files[name]
                case _:
                    files[name] = changed_bytes(rng, files[name])
        return use_store(files, rng)

    return case


def crafted_stores() -> Case:
    """Every checksum is right, up to the manifest's; keys, fences, bounds and levels are not."""

    def case(rng: Random) -> bool:
        files, added = {}, []
        for number in (7, 8):
            plan = table_targets.sound_plan(rng)
            if rng.random() < 0.7:
                table_targets.change_something(rng, plan)
            data, metadata = table_targets.build(plan)
            if rng.random() < 0.2:
                metadata = replace(metadata, smallest=metadata.largest, largest=metadata.smallest)
            files[f"00000{number}.sst"] = data
            added.append((rng.choice((0, 0, number - 6)), replace(metadata, number=number)))
        header = encode_header(LogHeader(KIND_MANIFEST, log_targets.STORE, 5, 7))
        edit = VersionEdit(tuple(added), (), 0, 9, 5000, 1)
        name = "MANIFEST-000005"
        files[name] = log_targets.log_of([put_body(1, b"version_edit", encode_version_edit(edit))], header)
        files["CURRENT"] = f"{name} {crc32(name.encode()):08x}\n".encode()
        return use_store(files, rng)

    return case


def use_store(files: dict[str, bytes], rng: Random) -> bool:
    """Verify and read a store; True if nothing was found. Only errors of the package, and not a byte is changed."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        before = _state(folder)
        found = False
        for use in (_verify, _read_all, _read_backwards, _read_some):
            try:
                use(folder)
            except CorruptionError as error:
                assert str(error)
                found = True
            except Error:
                found = True
        assert before == _state(folder)
        shutil.rmtree(Path(folder, "tmp"), ignore_errors=True)
    return not found


def _verify(folder: str) -> None:
    report = verify_store(folder)
    assert (report.verdict == "sound") == (not report.problems)
    if report.problems:
        raise CorruptionError(str(report.problems[0]))


def _read_all(folder: str) -> None:
    with lsmproc.open(folder, read_only=True, background="inline") as db:
        for count, (key, value) in enumerate(db.range()):
            assert type(key) is bytes
            assert type(value) is bytes
            assert count < MOST_RECORDS


def _read_backwards(folder: str) -> None:
    with lsmproc.open(folder, read_only=True, background="inline") as db, db.iterator() as cursor:
        for target in (b"key030", b"", b"zzz"):
            cursor.seek(target)
            for step in (cursor.__next__, cursor.prev):
                try:
                    for count in range(MOST_RECORDS + 1):
                        step()
                        assert count < MOST_RECORDS
                except StopIteration:
                    continue
        for count, _ in enumerate(db.range(b"key020", b"key050", reverse=True)):
            assert count < MOST_RECORDS


def _read_some(folder: str) -> None:
    with lsmproc.open(folder, read_only=True, background="inline") as db:
        for key in (b"", b"key03", b"key020", b"key059", b"zzz"):
            value = db.get(key)
            assert value is None or type(value) is bytes
            db.get_with_meta(key)
        db.stats()


def _state(folder: str) -> list[tuple[str, int, int]]:
    entries = ((entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(folder))
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in entries)


TARGETS: dict[str, Callable[[], Case]] = {
    "damaged stores": damaged_stores,
    "crafted stores": crafted_stores,
}
