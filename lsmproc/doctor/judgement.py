"""What the readings mean: one finding for each, OK, WARN or BAD, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lsmproc.config import LSMConfig
from lsmproc.doctor.readings import OPTIONAL_PACKAGES, PACKAGES, Readings, memory_wanted
from lsmproc.storage.disk_probe import SyncTimes

_TESTED_SYSTEMS = frozenset({"ext4", "xfs", "btrfs", "ext3", "f2fs", "zfs", "bcachefs"})
_NETWORK_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "9p", "afs"})
_MEMORY_SYSTEMS = frozenset({"tmpfs", "ramfs"})
_LIAR_OPTIONS = frozenset({"nobarrier", "barrier=0", "data=writeback"})

_SLOW_SYNC_SECONDS = 0.05
_STUCK_SYNC_SECONDS = 1.0
_IMPLAUSIBLE_SYNC_SECONDS = 20e-6
_FEW_INODES = 1000
_NO_INODES = 50
_RESERVED_DESCRIPTORS = 64
_MEBIBYTE = 1 << 20


class Level(StrEnum):
    """How good a finding is."""

    OK = "OK"
    WARN = "WARN"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    check: str
    level: Level
    measured: str
    meaning: str = ""  # empty if all is well
    remedy: str = ""


def judge(readings: Readings, config: LSMConfig) -> list[Finding]:
    """All findings, in the order in which they are best read."""
    checks: tuple[Callable[[Readings, LSMConfig], Finding], ...] = (
        _file_system,
        _mount_options,
        _space,
        _inodes,
        _permissions,
        _files,
        _strangers,
        _lock,
        _manifest,
        _leftovers,
        _open_files,
        _file_size,
        _memory,
        _processors,
        _python,
        _packages,
    )
    found = [check(readings, config) for check in checks]
    return found + _disk(readings)


def _file_system(readings: Readings, _: LSMConfig) -> Finding:
    name = "file system"
    if readings.mount is None:
        return Finding(
            name, Level.WARN, "not known on this system", "nobody can say whether it keeps what was synced", "use Linux"
        )
    kind = readings.mount.kind
    measured = f"{kind} at {readings.mount.point}"
    if kind in _NETWORK_SYSTEMS:
        meaning = "locks and syncs of network file systems are weaker than a store needs"
    elif kind in _MEMORY_SYSTEMS:
        meaning = "the files are in memory: they are gone after a restart of the machine"
    elif kind == "overlay":
        meaning = "the files are part of a container's layer: they go with the container, and writing is slow"
    elif kind.startswith("fuse"):
        meaning = "a program stands between the store and the disk: its death or its cache can lose what was synced"
    elif kind not in _TESTED_SYSTEMS:
        meaning = "lsmproc is not tested on it"
    else:
        return Finding(name, Level.OK, measured)
    return Finding(
        name, Level.WARN, measured, meaning, "put the store on a local ext4 or xfs, as a volume if in a container"
    )


def _mount_options(readings: Readings, _: LSMConfig) -> Finding:
    name = "mount options"
    options = readings.mount.options if readings.mount is not None else ()
    measured = ",".join(options) or "none known"
    if "ro" in options:
        remedy = "mount -o remount,rw; if the kernel made it read-only, look for disk errors in dmesg first"
        return Finding(name, Level.BAD, measured, "the file system is read-only", remedy)
    liars = sorted(_LIAR_OPTIONS.intersection(options))
    if liars:
        meaning = f"with {liars[0]} a power loss can lose or mix up what was synced"
        return Finding(name, Level.WARN, measured, meaning, f"mount without {liars[0]}")
    if "sync" in options:
        return Finding(name, Level.WARN, measured, "every write waits for the disk", "mount without sync")
    return Finding(name, Level.OK, measured)


def _space(readings: Readings, config: LSMConfig) -> Finding:
    name = "free space"
    least = 3 * config.memtable_max_bytes
    good = 2 * config.memtable_max_bytes * (config.max_immutable_memtables + 1) + config.level_base_bytes
    measured = f"{_size(readings.free_bytes)} of {_size(readings.total_bytes)}"
    remedy = "free space, move the store, or lower memtable_max_bytes"
    if readings.free_bytes < least:
        meaning = f"a log segment and the table made of it need {_size(least)}"
        return Finding(name, Level.BAD, measured, meaning, remedy)
    if readings.free_bytes < good:
        meaning = f"logs and a first compaction under these settings can take {_size(good)}"
        return Finding(name, Level.WARN, measured, meaning, remedy)
    return Finding(name, Level.OK, measured)


def _inodes(readings: Readings, _: LSMConfig) -> Finding:
    name = "free inodes"
    if not readings.total_inodes:
        return Finding(name, Level.OK, "not limited")
    measured = f"{readings.free_inodes:,} of {readings.total_inodes:,}"
    if readings.free_inodes < _FEW_INODES:
        level = Level.BAD if readings.free_inodes < _NO_INODES else Level.WARN
        return Finding(name, level, measured, "each table and each log segment is a file", "remove small files there")
    return Finding(name, Level.OK, measured)


def _permissions(readings: Readings, _: LSMConfig) -> Finding:
    name = "directory"
    what = "" if readings.exists else f", which {readings.path} would be made in"
    measured = (
        f"{readings.looked_at}{what}: mode {readings.mode:04o}, user {readings.owner}, and we are {readings.user}"
    )
    if not readings.accessible:
        remedy = "run as its owner, or chown and chmod 700 it"
        return Finding(name, Level.BAD, measured, "we may not list, write and search it", remedy)
    if readings.exists and readings.mode & 0o022:
        return Finding(name, Level.WARN, measured, "others may replace files in it", f"chmod go-w {readings.path}")
    if readings.exists and readings.owner != readings.user:
        meaning = "files that we make will not be its owner's to open"
        return Finding(name, Level.WARN, measured, meaning, f"run as user {readings.owner}, or chown it")
    return Finding(name, Level.OK, measured)


def _files(readings: Readings, _: LSMConfig) -> Finding:
    name = "files"
    found = readings.foreign_files
    if found:
        meaning = f"another user's, or not ours to read and write: {_some(found)}"
        remedy = f"chown them to user {readings.user}, mode 600"
        return Finding(name, Level.BAD, f"{len(found)} of the store's files", meaning, remedy)
    return Finding(name, Level.OK, "all are ours" if readings.exists else "none yet")


def _strangers(readings: Readings, _: LSMConfig) -> Finding:
    name = "other files"
    found = readings.strangers
    if "REPAIR-UNFINISHED" in found:
        remedy = "remove the directory and repair again"
        return Finding(name, Level.BAD, "REPAIR-UNFINISHED", "a repair into this directory was not finished", remedy)
    if found:
        meaning = "they are no files of a store; a directory without CURRENT is refused because of them"
        return Finding(name, Level.WARN, _some(found), meaning, "give the store a directory of its own")
    return Finding(name, Level.OK, "none")


def _lock(readings: Readings, _: LSMConfig) -> Finding:
    name = "lock"
    who = readings.lock_text or "a process that left no name"
    if readings.lock_held:
        meaning = "a store has one owner: nobody else can open it"
        if readings.lock_pid is not None and not readings.lock_pid_lives:
            meaning += "; that process is not to be seen from here: it is in another container or on another host"
        return Finding(name, Level.WARN, f"held by {who}", meaning, "close it there before you open it here")
    if readings.lock_held is None and readings.lock_pid_lives:
        meaning = "the system does not list its locks, and this process lives"
        return Finding(name, Level.WARN, f"perhaps held by {who}", meaning, "look whether that process has it open")
    left = f"; the last owner was {readings.lock_text}" if readings.lock_text else ""
    return Finding(name, Level.OK, f"free{left}")


def _manifest(readings: Readings, _: LSMConfig) -> Finding:
    name = "manifest"
    if readings.manifest_error:
        remedy = f"lsmproc verify {readings.path}; then restore a backup, or lsmproc repair"
        return Finding(name, Level.BAD, readings.manifest_error, "the store cannot be opened", remedy)
    return Finding(name, Level.OK, "readable" if readings.exists else "none yet")


def _leftovers(readings: Readings, _: LSMConfig) -> Finding:
    name = "leftovers"
    found = readings.leftovers
    if found and not readings.lock_held:
        meaning = f"unfinished or obsolete, as a crash leaves them: {_some(found)}"
        return Finding(name, Level.WARN, f"{len(found)} files", meaning, "nothing: the next open removes them")
    return Finding(name, Level.OK, "those of an open store" if found else "none")


def _open_files(readings: Readings, config: LSMConfig) -> Finding:
    name = "open files"
    limit = readings.open_files_limit
    measured = "not limited" if limit < 0 else f"at most {limit:,} (ulimit -n)"
    wanted = (config.max_open_files or 0) + _RESERVED_DESCRIPTORS
    if 0 <= limit < _RESERVED_DESCRIPTORS:
        meaning = "log, manifest, lock, pipes of the workers and a few tables need more"
        return Finding(name, Level.BAD, measured, meaning, "ulimit -n 4096, or LimitNOFILE= of the service")
    if 0 <= limit < max(wanted, 4 * _RESERVED_DESCRIPTORS):
        meaning = f"max_open_files and what else a process needs come to {max(wanted, 4 * _RESERVED_DESCRIPTORS):,}"
        remedy = "raise it (ulimit -n, LimitNOFILE=), or lower max_open_files"
        return Finding(name, Level.WARN, measured, meaning, remedy)
    return Finding(name, Level.OK, measured)


def _file_size(readings: Readings, config: LSMConfig) -> Finding:
    name = "file size"
    limit = readings.file_size_limit
    measured = "not limited" if limit < 0 else f"at most {_size(limit)} (ulimit -f)"
    wanted = 2 * max(config.memtable_max_bytes, config.sstable_max_bytes)
    if 0 <= limit < wanted:
        meaning = f"a log segment or a table can have up to about {_size(wanted)}; writes would fail"
        return Finding(name, Level.BAD, measured, meaning, "ulimit -f unlimited, or LimitFSIZE=infinity of the service")
    return Finding(name, Level.OK, measured)


def _memory(readings: Readings, config: LSMConfig) -> Finding:
    name = "memory"
    limit = (
        readings.memory_bytes if readings.memory_limit is None else min(readings.memory_bytes, readings.memory_limit)
    )
    source = "of the machine" if limit == readings.memory_bytes else "limit of the control group"
    wanted = memory_wanted(config)
    least = 3 * config.memtable_max_bytes + config.block_cache_bytes
    measured = f"{_size(limit)}, {source}"
    remedy = "raise the limit, or lower memtable_max_bytes, max_immutable_memtables and block_cache_bytes"
    if limit < least:
        meaning = f"one memtable and the cache alone can take {_size(least)}: the kernel would kill the process"
        return Finding(name, Level.BAD, measured, meaning, remedy)
    if limit < 2 * wanted:
        meaning = f"memtables, cache and workers can take {_size(wanted)}, which is more than half of it"
        return Finding(name, Level.WARN, measured, meaning, remedy)
    return Finding(name, Level.OK, measured)


def _processors(readings: Readings, config: LSMConfig) -> Finding:
    name = "processors"
    workers = config.flush_workers + config.compaction_workers
    measured = f"{readings.processors} usable, {workers} workers"
    if config.background == "process" and workers > 2 * readings.processors:
        meaning = "workers would take time from the service, and from each other"
        return Finding(name, Level.WARN, measured, meaning, f"compaction_workers={max(1, readings.processors - 1)}")
    return Finding(name, Level.OK, measured)


def _python(readings: Readings, _: LSMConfig) -> Finding:
    name = "Python"
    if not readings.python.startswith("CPython"):
        meaning = "lsmproc is tested with CPython; elsewhere its inner loops are slow"
        return Finding(name, Level.WARN, readings.python, meaning, "use CPython")
    if not readings.python_is_final:
        return Finding(name, Level.WARN, readings.python, "it is no final release", "use a final release")
    return Finding(name, Level.OK, readings.python)


def _packages(readings: Readings, config: LSMConfig) -> Finding:
    name = "packages"
    found = readings.packages
    measured = ", ".join(f"{package} {version}" for package, version in found.items())
    needed = dict(PACKAGES)
    if "zstd" in (config.compression, config.bottommost_compression):
        needed |= OPTIONAL_PACKAGES
    missing = [package for package in needed if package not in found]
    if missing:
        return Finding(name, Level.BAD, measured, f"missing: {_some(missing)}", f"pip install {' '.join(missing)}")
    every = PACKAGES | OPTIONAL_PACKAGES
    old = [f"{package}>={every[package]}" for package in found if _is_older(found[package], every.get(package, "0"))]
    if old:
        remedy = f"pip install --upgrade {' '.join(repr(each) for each in old)}"
        return Finding(name, Level.WARN, measured, f"older than what lsmproc is tested with: {_some(old)}", remedy)
    if "zstandard" not in found:
        meaning = "zstandard is not installed: tables that were written with zstd cannot be read"
        return Finding(name, Level.WARN, measured, meaning, "pip install 'lsmproc[zstd]' if there can be any")
    return Finding(name, Level.OK, measured)


def _disk(readings: Readings) -> list[Finding]:
    """What the probe saw; nothing if it was left out."""
    if readings.disk_error:
        meaning = "no file can be written and synced here"
        return [Finding("writing", Level.BAD, readings.disk_error, meaning, "see the lines above, and dmesg")]
    if readings.disk is None:
        return []
    disk = readings.disk
    if disk.reserve_error:
        meaning = "space for log segments cannot be reserved ahead"
        reserve = Finding("fallocate", Level.BAD, disk.reserve_error, meaning, "free space, or use ext4 or xfs")
    elif disk.reserved_bytes < _MEBIBYTE:
        measured = f"{_size(disk.reserved_bytes)} of {_size(_MEBIBYTE)} reserved"
        meaning = "the file system agrees and reserves nothing: a full disk shows only when the log is written"
        reserve = Finding("fallocate", Level.WARN, measured, meaning, "keep more space free, or use ext4 or xfs")
    else:
        reserve = Finding("fallocate", Level.OK, f"{_size(disk.reserved_bytes)} reserved")
    return [reserve, _sync("fsync", disk.fsync), _sync("fdatasync", disk.fdatasync)]


def _sync(name: str, times: SyncTimes) -> Finding:
    measured = f"median {_time(times.median)}, longest {_time(times.longest)} of {times.count}"
    if times.median >= _STUCK_SYNC_SECONDS:
        meaning = "commits with a sync, flushes and opening would take seconds each"
        return Finding(
            name, Level.BAD, measured, meaning, "look for a failing or overloaded disk (iostat -x, smartctl)"
        )
    if times.median >= _SLOW_SYNC_SECONDS or times.longest >= _STUCK_SYNC_SECONDS:
        meaning = 'with wal_sync="every_write" each commit takes about as long'
        return Finding(name, Level.WARN, measured, meaning, "use a faster disk, batches, or wal_sync='interval'")
    if times.median < _IMPLAUSIBLE_SYNC_SECONDS:
        meaning = "no disk is that quick: it acknowledges before it has written, or the files are in memory"
        return Finding(name, Level.WARN, measured, meaning, "do not count on what was synced after a power loss")
    return Finding(name, Level.OK, measured)


def _is_older(version: str, least: str) -> bool:
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _size(size: int) -> str:
    return f"{size / (1 << 30):,.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):,.1f} MiB"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.1f} s"
