"""The manifest: version edits, made durable one after the other.

A manifest is a log file (see ``formats/log_format.py``) whose frames hold version edits. It begins with a whole
snapshot of the version, so no older manifest is ever needed, and CURRENT names the live one. The order of writes,
here and nowhere else:

1. a new manifest is written and synced under its own number;
2. CURRENT is written anew beside the old one and synced, the directory synced, CURRENT renamed over the old one, and
   the directory synced again;
3. only then is the old manifest removed.

An edit is durable when :meth:`append` returns. A crash in the middle leaves the old state or the new one.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError, DurabilityError, StorageError
from lsmproc.formats.file_names import CURRENT, TMP_DIRECTORY, FileKind, manifest_name, parse_file_name
from lsmproc.formats.frame_decoding import DecodedFrames
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    KIND_MANIFEST,
    LogHeader,
    chain_seed,
    encode_header,
    frame,
    promise_body,
    put_body,
)
from lsmproc.formats.version_edit import VersionEdit, decode_version_edit, encode_version_edit
from lsmproc.storage.file_system import CREATE_NEW, READ, FileSystem, storage_error
from lsmproc.storage.version import Version
from lsmproc.storage.wal_reader import read_log

CURRENT_BYTES = 100  # more than the file CURRENT holds

_EDIT_KEY = b"version_edit"
_COUNTERS = 1 << 63  # None of them gets there; beyond 64 bits the next number would have no place in a header.
_ROLL_MINIMUM_BYTES = 1 << 20
_ROLL_FACTOR = 4  # A manifest is rolled when it is this many times its opening snapshot.


@dataclass(frozen=True, slots=True)
class RecoveredManifest:
    """What the live manifest of a store says."""

    number: int
    store_uuid: bytes
    version: Version
    torn_at: int | None = None  # where the last whole frame ends, if anything but zeros follows it


def read_manifest(fs: FileSystem) -> RecoveredManifest:
    """Read the manifest that CURRENT names. Raises CorruptionError naming the file and what does not fit."""
    name = _read_current(fs)
    edits: list[VersionEdit] = []
    try:
        log = read_log(fs, name, KIND_MANIFEST, None, lambda frames: edits.extend(edits_of(frames, name)))
    except FileNotFoundError:
        text = f"the manifest that CURRENT names is missing; {DAMAGE_REMEDY}"
        raise CorruptionError(text, file=name) from None
    if not edits:
        raise CorruptionError("the manifest holds no version", file=name, offset=log.end)
    version = applied(Version(), edits, name)
    check_number(log.header, name)
    return RecoveredManifest(log.header.number, log.header.store_uuid, version, log.end if log.dirty_tail else None)


def edits_of(frames: DecodedFrames, name: str) -> list[VersionEdit]:
    """The version edits in frames of the manifest ``name``. Raises CorruptionError."""
    edits = []
    for key, value in zip(frames.keys, frames.values, strict=True):
        if key == _EDIT_KEY and isinstance(value, bytes):
            with _naming(name):
                edits.append(decode_version_edit(value))
        elif key is not None:
            raise CorruptionError("a frame of the manifest holds no version edit", file=name)
    return edits


def applied(version: Version, edits: Iterable[VersionEdit], name: str) -> Version:
    """The version after edits read from the manifest ``name``. Raises CorruptionError."""
    with _naming(name):
        for edit in edits:
            version = version.apply(edit)
    numbers = [
        number for _, file in version.files() for number in (file.number, file.size, file.entries, file.raw_bytes)
    ]
    numbers += [number for segment in version.segments for number in segment]
    if max(version.next_file_number, version.log_number, version.last_sequence, version.epoch, *numbers) >= _COUNTERS:
        raise CorruptionError("the manifest holds numbers that no store reaches", file=name)
    return version


def check_number(header: LogHeader, name: str) -> None:
    """Raise CorruptionError unless the manifest ``name`` says of itself what its name says."""
    parsed = parse_file_name(name)
    if parsed is None or parsed[1] != header.number:
        raise CorruptionError(f"the manifest says it is number {header.number}", file=name)


class LogManifest:
    """Appends edits to one file, and rolls to a new one when it has grown."""

    def __init__(self, fs: FileSystem, store_uuid: bytes, version: Version, new_number: Callable[[], int]) -> None:
        """Start a new manifest at ``version``, make it the live one, and remove the one it replaces."""
        self._fs = fs
        self._store_uuid = store_uuid
        self._new_number = new_number
        self._fd = -1
        self.number: int = 0  # of the last one that was published
        self._unpublished: list[int] = []  # begun since then: CURRENT may name the last of them, after an error
        self._name = ""  # of the file being written
        self._seed = self._checksum = self._end = self._opening_bytes = self._count = 0
        self._whole = False  # whether CURRENT names this file and it ends with a whole frame
        try:
            self.replace(version)
        except BaseException:
            self.close()
            raise

    def append(self, edit: VersionEdit, after: Version) -> None:
        """Make ``edit`` durable.

        Raises StorageError, and then a crash may leave the state with the edit or the one without; what the next
        call records is a whole new state, whatever became of this edit.
        """
        # After any exception the file may end in half a frame, or in an edit that its writer was told had failed:
        # then a fresh manifest is the only state that is known to be good.
        whole, self._whole = self._whole, False
        if whole and self._end <= max(_ROLL_MINIMUM_BYTES, _ROLL_FACTOR * self._opening_bytes):
            try:
                self._append(encode_version_edit(edit))
            except DurabilityError:
                raise
            except StorageError:
                pass  # Not even the frame is whole: roll now.
            else:
                self._whole = True
                return
        self.replace(after)

    def doubt(self) -> None:
        """Have the next edit begin a new manifest: whether the last one counts is not known."""
        self._whole = False

    def replace(self, version: Version) -> None:
        """Go on in a new manifest that begins at ``version``. Raises StorageError, with the promise of ``append``."""
        self._whole = False  # Until CURRENT names the new file, whatever happens on the way.
        number = self._new_number()
        # The number of the manifest itself must never be given out again.
        version = version.apply(VersionEdit(next_file_number=max(version.next_file_number, number + 1)))
        self.close()
        try:
            self._begin(number, version)
            temporary = _write_current(self._fs, number)
        except BaseException:
            # Nothing names this file yet. A full disk wants it back at once, or the next attempt finds less room still.
            self.close()
            self._remove_unpublished([number])
            raise
        # From here on an error leaves open which of the two CURRENT names after a crash: both stay.
        _rename_current(self._fs, temporary)
        self._unpublished.remove(number)
        replaced, self.number = self.number, number
        self._whole = True
        if replaced:
            self._unpublished.append(replaced)
        self._remove_unpublished([*self._unpublished])

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _append(self, encoded: bytes) -> None:
        self._count += 1
        body = put_body(self._count, _EDIT_KEY, encoded)
        self._write(body)
        try:
            self._fs.fdatasync(self._fd)
        except StorageError as error:
            raise DurabilityError(error.errno, "the manifest could not be synced", self._name) from error
        self._write(promise_body(self._count, self._seed, self._end))

    def _write(self, body: bytes) -> None:
        checksum = crc32(body, self._checksum)
        whole = frame(checksum, body)
        self._fs.write_all(self._fd, whole, self._end)
        self._checksum = checksum
        self._end += len(whole)

    def _begin(self, number: int, version: Version) -> None:
        """Write and sync a manifest that holds ``version`` and is not the live one yet."""
        self._name = manifest_name(number)
        header = encode_header(LogHeader(KIND_MANIFEST, self._store_uuid, number, secrets.randbits(32)))
        self._fd = self._fs.open(self._name, CREATE_NEW)
        self._unpublished.append(number)
        self._seed = self._checksum = chain_seed(header)
        self._end = HEADER_SIZE
        self._count = 0
        self._fs.write_all(self._fd, header, 0)
        self._append(encode_version_edit(version.snapshot_edit()))
        self._opening_bytes = self._end

    def _remove_unpublished(self, numbers: list[int]) -> None:
        """Remove those of ``numbers`` that are there; what cannot be removed is tried again after the next roll."""
        for number in numbers:
            if number in self._unpublished:
                with contextlib.suppress(StorageError):  # Harmless if it stays: the next open removes it.
                    with contextlib.suppress(FileNotFoundError):
                        self._fs.unlink(manifest_name(number))
                    self._unpublished.remove(number)


class SnapshotManifest:
    """Writes a whole new manifest for each edit: slower, and never more than one state in a file."""

    def __init__(self, fs: FileSystem, store_uuid: bytes, version: Version, new_number: Callable[[], int]) -> None:
        """Start a new manifest at ``version`` and make it the live one."""
        self._live = LogManifest(fs, store_uuid, version, new_number)

    @property
    def number(self) -> int:
        """File number of the manifest in use."""
        return self._live.number

    def append(self, edit: VersionEdit, after: Version) -> None:  # noqa: ARG002 - the protocol's signature
        """Make the edit durable by writing the version it leads to."""
        self._live.replace(after)

    def doubt(self) -> None:
        """Nothing to do: every edit begins a new manifest."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        self._live.close()


def publish_current(fs: FileSystem, number: int) -> None:
    """Make manifest ``number`` the live one: write, sync, sync the directory, rename, sync the directory.

    REQUIRES: the manifest is synced.
    """
    _rename_current(fs, _write_current(fs, number))


def _write_current(fs: FileSystem, number: int) -> str:
    """Write and sync what is to become CURRENT; returns its name."""
    name = manifest_name(number)
    temporary = f"{TMP_DIRECTORY}/{CURRENT}-{number}"
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(temporary)  # Power loss can leave it behind without the manifest of that number.
    fd = fs.open(temporary, CREATE_NEW)
    with _removed_on_error(fs, temporary):
        try:
            fs.write_all(fd, f"{name} {crc32(name.encode()):08x}\n".encode(), 0)
            fs.fdatasync(fd)
        finally:
            fs.close(fd)
    return temporary


def _rename_current(fs: FileSystem, temporary: str) -> None:
    with _removed_on_error(fs, temporary):
        # The names that CURRENT stands for, of the manifest and of the log segment behind it, must not be lost before.
        fs.sync_directory()
        fs.rename(temporary, CURRENT)
        fs.sync_directory()


@contextlib.contextmanager
def _removed_on_error(fs: FileSystem, temporary: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(StorageError, FileNotFoundError):  # The next open empties the directory anyway.
            fs.unlink(temporary)
        raise


@contextlib.contextmanager
def _naming(file: str) -> Iterator[None]:
    """Name the file in the error of an edit that is no edit, or does not fit."""
    try:
        yield
    except CorruptionError as error:
        raise CorruptionError(str(error), file=file) from error


def _read_current(fs: FileSystem) -> str:
    fd = fs.open(CURRENT, READ)
    try:
        text = fs.pread(fd, CURRENT_BYTES, 0).decode("ascii", errors="replace")
    except OSError as error:
        raise storage_error(error, CURRENT) from error
    finally:
        fs.close(fd)
    return manifest_named_by(text)


def manifest_named_by(text: str) -> str:
    """The name of the live manifest, from what the file CURRENT holds. Raises CorruptionError."""
    name, _, check = text.removesuffix("\n").partition(" ")
    parsed = parse_file_name(name)
    if parsed is None or parsed[0] is not FileKind.MANIFEST or check != f"{crc32(name.encode()):08x}":
        raise CorruptionError(f"CURRENT does not name a manifest; {DAMAGE_REMEDY}", file=CURRENT, offset=0)
    return name
