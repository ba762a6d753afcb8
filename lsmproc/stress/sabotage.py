"""Switches that take one protection out of the store under test: the proof that the rig is able to fail.

Each replaces one function of the engine in the owner process, before the store is opened; those that concern workers
give them another job module, which they import by name. Nothing outside the child of the rig is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lsmproc import env
from lsmproc.formats import frame_decoding, uniform_frames
from lsmproc.formats.file_names import wal_name
from lsmproc.maintenance import compaction_schedule
from lsmproc.opening import recovery, store_parts
from lsmproc.storage import manifest
from lsmproc.storage.file_system import CREATE_NEW, PosixFileSystem
from lsmproc.storage.wal_reader import is_blank
from lsmproc.storage.wal_writer import PwriteWal
from lsmproc.stress.disk_model import JournaledFileSystem
from lsmproc.stress.faults import SABOTAGE_NAMES

_HELD_FRAMES = 64


def apply_sabotage(name: str) -> None:
    """Take the protection ``name`` out of this process and its workers. Raises KeyError for an unknown name."""
    switches = {
        "ack-before-log": _ack_before_log,
        "no-crc": _no_crc,
        "reused-sequence": _reused_sequence,
        "early-rename": _early_rename,
        "no-seal-check": _no_seal_check,
        "tombstone-dropped-early": _tombstone_dropped_early,
        "rotated-log-not-replayed": _rotated_log_not_replayed,
        "orphans-kept": _orphans_kept,
        "deaf-worker": _deaf_worker,
        "skip-directory-sync": _skip_directory_sync,
        "skip-table-sync": _skip_table_sync,
    }
    assert switches.keys() == SABOTAGE_NAMES.keys()
    switches[name]()


def _original(owner: object, name: str) -> Any:
    """What is to be replaced; by name, because the engine exports none of it."""
    return getattr(owner, name)


def _replace(owner: object, name: str, replacement: object) -> None:
    setattr(owner, name, replacement)


class _HeldWrites:
    """A ``pwrite`` that says yes at once and writes later."""

    def __init__(self, pwrite: Callable[[int, bytes, int], int]) -> None:
        self._pwrite = pwrite
        self._held: list[tuple[int, bytes, int]] = []

    def __call__(self, fd: int, data: bytes, offset: int) -> int:
        self._held.append((fd, data, offset))
        if len(self._held) >= _HELD_FRAMES:
            self.write_all()
        return len(data)

    def write_all(self) -> None:
        """Write what is held."""
        for fd, data, offset in self._held:
            self._pwrite(fd, data, offset)
        self._held.clear()


def _ack_before_log() -> None:
    """A write returns before the kernel has it; seals, syncs and the end of the segment still come after the frames."""
    make, seal, sync, trim = PwriteWal.__init__, PwriteWal.seal, PwriteWal.sync, PwriteWal.trim

    def init(wal: Any, *arguments: Any) -> None:
        make(wal, *arguments)
        wal._pwrite = _HeldWrites(wal._pwrite)  # noqa: SLF001

    def after_writing(method: Callable[[Any], Any], wal: Any) -> Any:
        result = method(wal) if method is seal else None
        wal._pwrite.write_all()  # noqa: SLF001
        return result if method is seal else method(wal)

    _replace(PwriteWal, "__init__", init)
    for name, method in (("seal", seal), ("sync", sync), ("trim", trim)):
        _replace(PwriteWal, name, lambda wal, method=method: after_writing(method, wal))


@dataclass(frozen=True, slots=True)
class _EveryChecksum:
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def _no_crc() -> None:
    """A frame of the log counts if it can be decoded."""
    crc32 = _original(frame_decoding, "crc32")

    def unchecked(decode: Callable[..., Any], *arguments: Any) -> Any:
        _replace(frame_decoding, "crc32", lambda *_: _EveryChecksum())
        try:
            return decode(*arguments)
        finally:
            _replace(frame_decoding, "crc32", crc32)

    for name in ("_checked", "decode_frame"):
        _replace(frame_decoding, name, partial(unchecked, _original(frame_decoding, name)))
    _replace(uniform_frames, "crc32", lambda *_: _EveryChecksum())


def _reused_sequence() -> None:
    """An owner counts from the start again, as if neither log nor manifest told of the numbers that are taken."""
    open_directory = _original(store_parts, "open_directory")

    def forgetful(*arguments: Any, **options: Any) -> Any:
        opened = open_directory(*arguments, **options)
        opened.last_sequence = 0
        return opened

    _replace(store_parts, "open_directory", forgetful)
    _replace(PosixFileSystem, "now_ns", staticmethod(lambda: 1))


def _early_rename() -> None:
    """CURRENT names a new manifest before that is written."""
    open_file = PosixFileSystem.open

    def open_and_publish(fs: PosixFileSystem, name: str, flags: int) -> int:
        fd = open_file(fs, name, flags)
        if flags == CREATE_NEW and name.startswith("MANIFEST-"):
            manifest.publish_current(fs, int(name.partition("-")[2]))
        return fd

    _replace(PosixFileSystem, "open", open_and_publish)


def _no_seal_check() -> None:
    """A flush takes the first damage in a sealed segment for the end of the segment."""
    runner = "lsmproc.stress.unchecked_flush"
    _replace(env, "ProcessBackground", partial(_original(env, "ProcessBackground"), flush_runner=runner))


def _tombstone_dropped_early() -> None:
    """A compaction forgets that older tables lie below it, and drops the tombstones that cover them."""
    _replace(compaction_schedule, "ranges_below", lambda _version, _compaction: ())


def _rotated_log_not_replayed() -> None:
    """Only the newest segment with a header is replayed."""
    replay_log = _original(recovery, "replay_log")

    def newest_only(fs: Any, numbers: Any, log_number: int, *rest: Any, **options: Any) -> Any:
        used = sorted(n for n in numbers if n >= log_number and not is_blank(fs, wal_name(n)))
        return replay_log(fs, used[-1:], used[-1] if used else log_number, *rest, **{**options, "listed": ()})

    _replace(recovery, "replay_log", newest_only)


def _orphans_kept() -> None:
    """Nothing is cleaned up at open."""
    _replace(recovery, "_remove_orphans", lambda *_: None)


def _deaf_worker() -> None:
    """A compaction goes on for seconds and does not look whether its owner still lives."""
    runner = "lsmproc.stress.deaf_compaction"
    _replace(env, "ProcessBackground", partial(_original(env, "ProcessBackground"), compaction_runner=runner))


def _skip_directory_sync() -> None:
    """The names of new files and of renamed ones are not synced."""
    for file_system in (PosixFileSystem, JournaledFileSystem):
        _replace(file_system, "sync_directory", lambda *_: None)


def _skip_table_sync() -> None:
    """What a job writes is not synced, whether it runs in a process or beside the journal of a modelled disk."""
    runner = "lsmproc.stress.unsynced_jobs"
    process = partial(_original(env, "ProcessBackground"), flush_runner=runner, compaction_runner=runner)
    _replace(env, "ProcessBackground", process)
    fdatasync = JournaledFileSystem.fdatasync

    def only_logs_and_manifests(fs: JournaledFileSystem, fd: int) -> None:
        if not fs._names[fd].endswith(".sst"):  # noqa: SLF001 - only the file system knows
            fdatasync(fs, fd)

    _replace(JournaledFileSystem, "fdatasync", only_logs_and_manifests)
