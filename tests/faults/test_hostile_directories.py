"""What others may have left in a store's directory: links, directories, crafted names, modes that shut the owner out.

Whatever it is, nothing outside the directory is read into the store, written or removed, and the refusal names it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import msgpack
import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import CorruptionError, Error, NotAStoreError, StorageError
from lsmproc.formats.file_names import CURRENT, LOCK, FileKind
from lsmproc.formats.log_format import (
    KIND_MANIFEST,
    LogHeader,
    chain_seed,
    decode_header,
    encode_header,
    frame,
    promise_body,
    put_body,
)
from lsmproc.stress.disk_model import lay_out
from lsmproc.verification import verify_store
from tests.faults.damage_trials import quick_directory
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.small_store import SmallStore, build_small_store, contents, look_at
from tests.tally import Tally

NOBODY = 65534
HUGE = (1 << 64) - 1


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one."""
    with quick_directory(tmp_path) as directory:
        yield directory


@pytest.fixture
def store(scratch: Path) -> SmallStore:
    """A store with a file of every kind."""
    return build_small_store(scratch / "store", records=40)


@pytest.fixture
def env() -> Iterator[Env]:
    """An environment of stores that are opened one after the other."""
    with Env(background="inline", open_file_system=QuickFileSystem) as env:
        yield env


def refusals(store: SmallStore, directory: Path, env: Env) -> list[Error]:
    """What a reader and an owner are told; both must be told something by type, or be shown what is right."""
    errors: list[Error] = []
    for read_only in (True, False):
        try:
            look = look_at(store, directory, env, [store.states[-1]], read_only=read_only)
            errors += look.errors
        except (NotAStoreError, StorageError) as error:
            errors.append(error)
    return errors


def place_of(error: Error) -> str:
    """The file that an error names."""
    if isinstance(error, CorruptionError):
        return error.file
    return str(getattr(error, "filename", "") or error)


def test_a_link_in_place_of_a_file_is_refused_and_leaves_its_target_alone(
    scratch: Path, store: SmallStore, env: Env, tally: Tally
) -> None:
    """Even one that leads to the very file that was there."""
    for name in [*store.files, "tmp"]:
        lay_out(scratch / "linked", store.files)
        outside = scratch / "outside"
        (scratch / "linked" / name).rename(outside)
        (scratch / "linked" / name).symlink_to(outside)
        before = contents(outside) if outside.is_dir() else {"": outside.read_bytes()}
        errors = refusals(store, scratch / "linked", env)
        assert before == (contents(outside) if outside.is_dir() else {"": outside.read_bytes()}), name
        # A blank segment and what is in tmp/ are removed by the owner: the link goes, not its target. So is OPTIONS,
        # which only tells, replaced by a new one.
        if name not in {store.named(FileKind.WAL)[-1], "tmp/1-7-1-0.sst", "tmp", "OPTIONS"}:
            assert errors, name
        assert {name} >= {place_of(error).split("/")[0] for error in errors} or name.startswith("tmp"), errors
        if name == "tmp":
            assert "tmp" in str(errors[-1])
        remove(outside)
        remove(scratch / "linked")
        tally.add("links in place of files")


def test_links_under_names_that_the_store_would_use_next_are_never_followed(
    scratch: Path, store: SmallStore, env: Env, tally: Tally
) -> None:
    """Numbers around the next ones, outputs of jobs, the next CURRENT: the targets are neither written nor removed."""
    lay_out(scratch / "planted", store.files)
    victim = scratch / "victim"
    victim.write_bytes(b"precious")
    next_number = max(int("".join(filter(str.isdigit, name))) for name in store.files if "." in name[1:9]) + 1
    names = [f"{number:06d}.{kind}" for number in range(next_number, next_number + 6) for kind in ("sst", "wal")]
    names += [f"MANIFEST-{number:06d}" for number in range(next_number, next_number + 6)]
    names += [f"tmp/CURRENT-{number}" for number in range(next_number, next_number + 12)]
    names += [f"tmp/{epoch}-{job}-1-0.sst" for epoch in range(5) for job in range(5)]
    for name in [name for name in names if not name.endswith(".wal")]:
        (scratch / "planted" / name).symlink_to(victim)
    state = store.states[-1]
    assert [] == refusals(store, scratch / "planted", env)
    with store.open(scratch / "planted", env) as db:
        db.put(b"more", b"1")
        db.flush_memtable()
        db.compact_range()
        assert {**state, b"more": b"1"} == dict(db.range())
    assert b"precious" == victim.read_bytes()
    assert not any(path.is_symlink() for path in (scratch / "planted").rglob("*"))
    tally.add("links under names to come", len(names))


def test_a_directory_in_place_of_a_file_is_refused_by_name(
    scratch: Path, store: SmallStore, env: Env, tally: Tally
) -> None:
    """Also a file in place of tmp/."""
    for name in [*store.files, "tmp"]:
        lay_out(scratch / "odd", store.files)
        remove(scratch / "odd" / name)
        if name == "tmp":
            (scratch / "odd" / name).write_bytes(b"a file")
        else:
            (scratch / "odd" / name).mkdir()
        errors = refusals(store, scratch / "odd", env)
        if not name.startswith(("tmp/", "OPTIONS")):
            assert errors, name
            assert all(name in str(error) for error in errors), errors
        assert name != "tmp" or isinstance(errors[-1], StorageError)
        remove(scratch / "odd")
        tally.add("directories in place of files")


@pytest.mark.parametrize(
    "name",
    [
        "../x", "/etc/passwd", "MANIFEST-000001/../x", "./MANIFEST-000001", "MANIFEST-1", "000001.sst", "LOCK", "",
        "MANIFEST-000001\n", "MANIFEST-00000000000000000000001", "MANIFEST-\u0661\u0661\u0661\u0661\u0661\u0661",
    ],
)  # fmt: skip
def test_a_crafted_current_names_nothing_outside(scratch: Path, store: SmallStore, env: Env, name: str) -> None:
    """With the right checksum behind the name."""
    (scratch / "x").write_bytes(b"precious")
    crafted = f"{name} {crc32(name.encode()):08x}\n".encode()
    lay_out(scratch / "crafted", {**store.files, CURRENT: crafted})
    errors = refusals(store, scratch / "crafted", env)
    assert [CURRENT] * 2 == [place_of(error) for error in errors]
    assert ["damaged"] == [verify_store(scratch / "crafted").verdict]
    assert b"precious" == (scratch / "x").read_bytes()


def file_fields(**changes: object) -> list[object]:
    """A table's description as the manifest stores it, with some fields changed."""
    fields = {
        "number": 5, "size": 100, "checksum": 1, "unique_id": 2, "smallest": b"a", "largest": b"b", "entries": 2,
        "tombstones": 0, "smallest_sequence": 1, "largest_sequence": 2, "raw_bytes": 4,
    }  # fmt: skip
    return list({**fields, **changes}.values())


CRAFTED_EDITS: dict[str, object] = {
    "a number that is a path": [1, [[0, file_fields(number="../x")]], [], None, None, None, None],
    "a number that is bytes": [1, [[0, file_fields(number=b"../x")]], [], None, None, None, None],
    "number 0": [1, [[0, file_fields(number=0)]], [], None, None, None, None],
    "a negative number": [1, [[0, file_fields(number=-7)]], [], None, None, None, None],
    "the largest number": [1, [[0, file_fields(number=HUGE)]], [], None, None, None, None],
    "a size that no file has": [1, [[0, file_fields(number=16, size=HUGE)]], [], None, None, None, None],
    "keys the wrong way round": [
        1,
        [[3, file_fields(number=900, smallest=b"z", largest=b"a")]],
        [],
        None,
        None,
        None,
        None,
    ],
    "a level that is none": [1, [[7, file_fields()]], [], None, None, None, None],
    "a level that is true": [1, [[True, file_fields()]], [], None, None, None, None],
    "a removal of what is not there": [1, [], [[0, 99]], None, None, None, None],
    "a counter at its end": [1, [], [], None, HUGE, None, None],
    "a sequence at its end": [1, [], [], None, None, HUGE, None],
    "an epoch at its end": [1, [], [], None, None, None, HUGE],
    "a log number at its end": [1, [], [], HUGE, None, None, None],
    "a counter that is a float": [1, [], [], None, 1.5, None, None],
    "too few fields": [1, [], []],
    "another layout": [2, [], [], None, None, None, None],
    "no edit at all": b"",
    "nothing but nil": None,
}


@pytest.mark.parametrize("what", CRAFTED_EDITS)
def test_a_crafted_manifest_is_corruption_or_harmless(scratch: Path, store: SmallStore, env: Env, what: str) -> None:
    """An edit that no owner writes, behind the true ones, with every checksum in place."""
    manifest = store.named(FileKind.MANIFEST)[0]
    crafted = appended(store.files[manifest], msgpack.packb(CRAFTED_EDITS[what]))
    lay_out(scratch / "crafted", {**store.files, manifest: crafted})
    errors = refusals(store, scratch / "crafted", env)
    assert all(isinstance(error, CorruptionError) and error.file for error in errors), errors
    assert len(errors) in {0, 2}
    assert errors or what in {"an epoch at its end", "a sequence at its end"}
    if errors:
        assert "damaged" == verify_store(scratch / "crafted").verdict


@pytest.mark.parametrize("number", [1 << 63, HUGE, HUGE + 1, 10**20 - 1])
def test_a_planted_file_with_a_giant_number_does_not_shut_the_owner_out(
    scratch: Path, store: SmallStore, env: Env, number: int
) -> None:
    """Numbers go on above the highest name that is there: a name beyond all numbers is no file of a store."""
    for name in (f"{number}.sst", f"MANIFEST-{number}"):
        lay_out(scratch / "planted", {**store.files, name: b"junk"})
        assert [] == refusals(store, scratch / "planted", env)
        with store.open(scratch / "planted", env) as db:
            db.put(b"more", b"1")
            db.flush_memtable()
        assert b"junk" == (scratch / "planted" / name).read_bytes()
        remove(scratch / "planted")


def test_files_that_may_not_be_read_are_named(scratch: Path, store: SmallStore, env: Env, tally: Tally) -> None:
    """Mode 000, one file after the other; root, who may read everything, becomes nobody for it."""
    for name in [*store.files, "tmp"]:
        lay_out(scratch / "shut", store.files)
        (scratch / "shut" / name).chmod(0)
        with as_nobody(scratch):
            errors = refusals(store, scratch / "shut", env)
        if (scratch / "shut" / "tmp").stat().st_mode & 0o777 == 0:
            (scratch / "shut" / "tmp").chmod(0o700)
        blank = name == store.named(FileKind.WAL)[-1]
        if not name.startswith(("tmp/", "OPTIONS")):
            assert errors, name
            assert all(name in str(error) for error in errors), (name, errors)
            assert all(isinstance(error, StorageError) for error in errors), (name, errors)
            assert name == "tmp" or blank or name.endswith(".sst") or 2 == len(errors), (name, errors)
        remove(scratch / "shut")
        tally.add("files of mode 000")


@contextmanager
def as_nobody(scratch: Path) -> Iterator[None]:
    """If this is root: own the directory as nobody, and be nobody."""
    if os.geteuid():
        yield
        return
    scratch.chmod(0o755)
    for path in [scratch, *scratch.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("manifest", ["log", "snapshot"])
def test_files_are_0600_and_directories_0700_whatever_the_umask(scratch: Path, umask: int, manifest: str) -> None:
    """All of them, at every instant of a life, those of a parent directory that is made too."""
    before = os.umask(umask)
    try:
        with as_nobody(scratch):
            check_modes_of_a_life(scratch / "parent" / "store", manifest)
    finally:
        os.umask(before)


def check_modes_of_a_life(directory: Path, manifest: str) -> None:
    """Write, flush, compact, close and open again, with a look at the modes in between."""
    config = LSMConfig.from_options(directory, memtable_max_bytes=1024, manifest=manifest)
    for _ in range(2):
        with Env(background="inline", open_file_system=QuickFileSystem) as env, LSMStore(config, env=env) as db:
            for number in range(60):
                db.put(b"%03d" % number, b"v" * 40)
            db.compact_range()
            db.put(b"k", b"v")
            assert db._parts.log is not None
            db._parts.log.prepare_spare()
            wrong = wrong_modes(directory)
            names = {path.name for path in directory.iterdir()}
        assert {LOCK, CURRENT, "tmp"} < names
        assert [] == wrong + wrong_modes(directory)


def wrong_modes(directory: Path) -> list[str]:
    """What is not 0600, or 0700."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [directory, *directory.rglob("*")]}
    wanted = {path: 0o700 if path.is_dir() else 0o600 for path in modes}
    return [f"{path.name} {mode:o}" for path, mode in modes.items() if mode != wanted[path]]


def appended(manifest: bytes, encoded: bytes) -> bytes:
    """A manifest with one more edit, and the promise behind it, as its owner would have written them."""
    header: LogHeader = decode_header(manifest, "a manifest")
    assert KIND_MANIFEST == header.kind
    seed = checksum = chain_seed(encode_header(header))
    end, whole = 64, manifest.rstrip(b"\0")
    while end < len(whole):
        end, checksum = next_frame(manifest, end)
    whole = manifest[:end]
    body = put_body(10**6, b"version_edit", encoded)
    checksum = crc32(body, checksum)
    whole += frame(checksum, body)
    promise = promise_body(10**6, seed, len(whole))
    return whole + frame(crc32(promise, checksum), promise)


def next_frame(log: bytes, start: int) -> tuple[int, int]:
    """Where the frame at ``start`` ends, and its checksum."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(log[start:])
    checksum = unpacker.unpack()
    for _ in range(3):
        unpacker.skip()
    return start + unpacker.tell(), checksum


def remove(path: Path) -> None:
    """A file or a whole directory; a link, not its target."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink()
