"""What the doctor measures; nothing is judged here.

Every reading is plain data, so that a test can make any machine up.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata

import psutil

from lsmproc.config import LSMConfig
from lsmproc.errors import Error, StorageError
from lsmproc.formats.file_names import (
    CURRENT,
    TMP_DIRECTORY,
    UNNUMBERED_NAMES,
    FileKind,
    manifest_name,
    parse_file_name,
    table_name,
)
from lsmproc.storage.directory_lock import owner_of
from lsmproc.storage.disk_probe import ProbedDisk, probe_disk
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.lock_holder import lock_is_held
from lsmproc.storage.manifest import read_manifest
from lsmproc.storage.memory_limit import memory_limit
from lsmproc.storage.mount_table import Mount, mount_of

PACKAGES = {"lz4": "4.3", "msgpack": "1.0.5", "psutil": "5.9", "sortedcontainers": "2.4", "xxhash": "3.2"}
OPTIONAL_PACKAGES = {"zstandard": "0.22"}
_PID = re.compile(r"pid (\d+) on (\S+)")


@dataclass(slots=True)
class Readings:
    """One machine and one directory."""

    path: str
    looked_at: str  # the path, or the directory above that is there
    exists: bool
    mount: Mount | None = None
    free_bytes: int = 0
    total_bytes: int = 0
    free_inodes: int = 0
    total_inodes: int = 0
    disk: ProbedDisk | None = None
    disk_error: str = ""  # why it could not be probed
    open_files_limit: int = 0  # -1: none
    file_size_limit: int = -1  # -1: none
    memory_bytes: int = 0
    memory_limit: int | None = None  # of the control group
    mode: int = 0o700
    owner: int = 0
    user: int = 0
    accessible: bool = True
    foreign_files: list[str] = field(default_factory=list)  # of other users, or not readable and writable
    lock_held: bool | None = False
    lock_text: str = ""
    lock_pid: int | None = None
    lock_pid_lives: bool = False
    strangers: list[str] = field(default_factory=list)  # files that no store has
    leftovers: list[str] = field(default_factory=list)  # unfinished outputs, tables that no manifest names
    manifest_error: str = ""
    processors: int = 1
    python: str = ""
    python_is_final: bool = True
    packages: dict[str, str] = field(default_factory=dict)  # version by name; absent if not installed


def take_readings(path: str, *, write: bool) -> Readings:
    """Look at everything. Raises OSError when there is nothing to look at, or it may not be looked at."""
    path = os.path.abspath(path)
    looked_at = path
    while not os.path.lexists(looked_at):
        looked_at = os.path.dirname(looked_at)
    if not os.path.isdir(looked_at):
        raise NotADirectoryError(20, "Not a directory", looked_at)
    readings = Readings(path, looked_at, exists=looked_at == path, mount=mount_of(looked_at))
    _read_machine(readings)
    _read_space(readings)
    _read_permissions(readings)
    fs = PosixFileSystem(looked_at)
    try:
        if readings.exists:
            _read_store(readings, fs)
        if write:
            try:
                readings.disk = probe_disk(fs)
            except StorageError as error:
                readings.disk_error = error.strerror or str(error)
    finally:
        fs.shut()
    return readings


def _read_machine(readings: Readings) -> None:
    readings.open_files_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    readings.file_size_limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    readings.memory_bytes = psutil.virtual_memory().total
    readings.memory_limit = memory_limit()
    affinity = getattr(os, "sched_getaffinity", None)
    readings.processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    readings.python = f"{platform.python_implementation()} {platform.python_version()}"
    readings.python_is_final = sys.version_info.releaselevel == "final"
    for name in (*PACKAGES, *OPTIONAL_PACKAGES):
        with suppress(metadata.PackageNotFoundError):
            readings.packages[name] = metadata.version(name)


def _read_space(readings: Readings) -> None:
    space = os.statvfs(readings.looked_at)
    readings.free_bytes = space.f_bavail * space.f_frsize
    readings.total_bytes = space.f_blocks * space.f_frsize
    readings.free_inodes = space.f_favail
    readings.total_inodes = space.f_files


def _read_permissions(readings: Readings) -> None:
    status = os.stat(readings.looked_at)
    readings.mode = status.st_mode & 0o7777
    readings.owner = status.st_uid
    readings.user = os.geteuid()
    readings.accessible = os.access(readings.looked_at, os.R_OK | os.W_OK | os.X_OK)


def _read_store(readings: Readings, fs: PosixFileSystem) -> None:
    names = fs.list_directory()
    for name in names:
        if name not in UNNUMBERED_NAMES and parse_file_name(name) is None:
            readings.strangers.append(name)
            continue
        with suppress(FileNotFoundError):  # An open store removes files while we look.
            path = os.path.join(readings.path, name)
            needed = os.R_OK | os.W_OK
            if os.stat(path, follow_symlinks=False).st_uid != readings.user or not os.access(path, needed):
                readings.foreign_files.append(name)
    readings.lock_held = lock_is_held(readings.path)
    readings.lock_text = owner_of(fs)
    if match := _PID.search(readings.lock_text):
        readings.lock_pid = int(match[1])
        readings.lock_pid_lives = psutil.pid_exists(readings.lock_pid)
    readings.leftovers = [f"{TMP_DIRECTORY}/{name}" for name in fs.list_directory(TMP_DIRECTORY)]
    if CURRENT not in names:
        if any(map(parse_file_name, names)):
            readings.manifest_error = f"{CURRENT} is missing beside files of a store"
        return
    try:
        manifest = read_manifest(fs)
    except (Error, OSError) as error:
        readings.manifest_error = str(error)
        return
    live = {table_name(file.number) for _, file in manifest.version.files()} | {manifest_name(manifest.number)}
    for name in names:
        parsed = parse_file_name(name)
        if parsed is not None and parsed[0] is not FileKind.WAL and name not in live:
            readings.leftovers.append(name)


def memory_wanted(config: LSMConfig) -> int:
    """What a store of these settings may take: memtables at three bytes for one, the cache, the workers."""
    memtables = 3 * config.memtable_max_bytes * (config.max_immutable_memtables + 1)
    workers = 16 << 20
    count = config.flush_workers + config.compaction_workers if config.background == "process" else 0
    return memtables + config.block_cache_bytes + workers * count
