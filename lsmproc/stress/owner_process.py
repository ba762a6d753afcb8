"""The child of the rig: the owner process of the store under test.

Run as ``python -m lsmproc.stress.owner_process SETTINGS COMMAND_FD ACK_FD REPLY_FD``. It opens the store, says what it
found, and then does what it is told: apply operations, show what the store holds, name its workers, close. It ends at
once when its parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from typing import Any

from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.formats.file_names import TMP_DIRECTORY, FileKind, manifest_name, parse_file_name
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.manifest import read_manifest
from lsmproc.store import LSMStore
from lsmproc.stress.channel import MessageStream, acknowledge, send
from lsmproc.stress.fragile_disk import FragileDisk
from lsmproc.stress.operations import LoadShape, Operation, keys_of, operations
from lsmproc.stress.sabotage import apply_sabotage

_PARENT_CHECK_SECONDS = 5.0
_ORPHAN_GRACE_SECONDS = 5.0
_PAUSE_SECONDS = 30.0


class OwnerProcess:
    """One open store, its load threads and its parent."""

    def __init__(self, settings: dict[str, Any], ack_fd: int, reply_fd: int) -> None:
        """Open the store of ``settings`` and tell the parent."""
        self._seed: int = settings["seed"]
        self._shape = LoadShape.from_json_dict(settings["load"])
        self._ack_fd = ack_fd
        self._reply_fd = reply_fd
        self._reply_lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._tear: dict[str, Any] | None = None  # which write is cut short by the death of this process, and where
        self._cut_opening: dict[str, Any] = settings.get("cut_opening", {})
        config = LSMConfig.from_options(settings["path"], **settings["options"])
        self._disk = FragileDisk(settings["path"]) if settings["volume"] == "model" else None
        if self._disk is None:
            self._env = Env.of(config)
            self._env.open_file_system = self._open_file_system
        else:
            # Jobs in threads of this process, so that one journal sees every file.
            self._env = Env(background="thread", open_file_system=self._disk.open_file_system)
            if self._cut_opening:
                self._disk.lose_power_after(self._cut_opening["after"], lambda: self._cut(self._cut_opening))
        self.reply({"is": "opening"})
        started = time.perf_counter()
        self._db = LSMStore(config, env=self._env)
        seconds = time.perf_counter() - started
        if self._cut_opening:
            self._cut(self._cut_opening)  # It had fewer steps than that.
        self.reply({"is": "opened", "seconds": seconds, "orphans": _orphans(settings["path"])})

    def reply(self, message: dict[str, Any]) -> None:
        """Send a message to the parent."""
        with self._reply_lock:
            send(self._reply_fd, message)

    def obey(self, command: dict[str, Any]) -> bool:
        """Do what the parent asks; False when it was to close."""
        match command["do"]:
            case "load":
                self._start_load(command["cycle"])
            case "pause":
                self._pause()
            case "dump":
                self.reply({"is": "dump", **self._dump()})
            case "workers":
                self.reply({"is": "workers", **self._workers()})
            case "sealed":
                self.reply({"is": "sealed", "segments": self._sealed()})
            case "cut":
                self._cut(command)
            case "tear":
                self._tear = command
            case "close":
                self._pause()
                self._db.close()
                self._env.close()
                self.reply({"is": "closed"})
                return False
        return True

    def _open_file_system(self, path: str) -> PosixFileSystem:
        """The real one, but for the write that is to be torn."""
        fs = PosixFileSystem(path)
        fs.pwrite = self._pwrite
        return fs

    def _pwrite(self, fd: int, data: Any, offset: int, /) -> int:
        # A frame of the log comes as bytes. All the rest (headers, manifests, CURRENT) is written piece by piece.
        if (tear := self._tear) is not None and tear["in_log"] is isinstance(data, bytes):
            if not tear["skip"]:
                os.pwrite(fd, data[: 1 + int(tear["share"] * (len(data) - 1))], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            tear["skip"] -= 1
        return os.pwrite(fd, data, offset)

    def _cut(self, command: dict[str, Any]) -> None:
        """Lose power: from here on nothing that this process writes counts."""
        assert self._disk is not None
        self._disk.lose_power(command["policy"], command["seed"])
        self.reply({"is": "cut"})

    def _start_load(self, cycle: int) -> None:
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._apply_all, args=(cycle, thread), daemon=True)
            for thread in range(self._shape.threads)
        ]
        for thread in self._threads:
            thread.start()
        self.reply({"is": "loading"})

    def _pause(self) -> None:
        self._stopping.set()
        deadline = time.monotonic() + _PAUSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self.reply({"is": "failed", "text": f"a write hung for {_PAUSE_SECONDS:g} s: {self._db.stats().stall}"})
        self._threads = []
        self.reply({"is": "paused"})

    def _apply_all(self, cycle: int, thread: int) -> None:
        try:
            for done, operation in enumerate(operations(self._seed, cycle, thread, self._shape), 1):
                if self._stopping.is_set():
                    return
                self._apply(operation)
                acknowledge(self._ack_fd, thread, done)
        except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
            self.reply({"is": "failed", "text": f"a write failed in thread {thread}\n{traceback.format_exc()}"})

    def _apply(self, operation: Operation) -> None:
        sync = True if operation.sync else None
        if len(operation.keys) > 1:
            with self._db.write_batch(sync=sync) as batch:
                for key, value in zip(operation.keys, operation.values, strict=True):
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        elif (only := operation.values[0]) is None:
            self._db.delete(operation.keys[0], sync=sync)
        else:
            self._db.put(operation.keys[0], only, sync=sync)
        if operation.look_back:
            written = dict(zip(operation.keys, operation.values, strict=True))
            for key, value in written.items():
                if self._db.get(key) != value:
                    raise AssertionError(f"{key!r} does not hold what {operation.id} has just written")

    def _dump(self) -> dict[str, Any]:
        """Everything the store holds, by scan and by point reads, which must agree."""
        scanned = list(self._db.range())
        records = []
        differing = []
        values = dict(scanned)
        for key in sorted(values.keys() | set(keys_of(self._shape))):
            entry = self._db.get_with_meta(key)
            if (None if entry is None else entry.value) != values.get(key) or self._db.get(key) != values.get(key):
                differing.append(key)
            if key in values:
                records.append((key, values[key], 0 if entry is None else entry.sequence))
        if scanned[::-1] != list(self._db.range(reverse=True)):
            differing.append(b"(the reverse scan as a whole)")
        return {"records": records, "differing": differing}

    def _workers(self) -> dict[str, Any]:
        stats = self._db.stats()
        workers = [
            {"name": each.name, "kind": each.kind, "pid": each.pid, "state": each.state, "job": each.job,
             "jobs_done": each.jobs_done}
            for each in stats.workers
        ]  # fmt: skip
        return {"workers": workers, "failed_jobs": stats.failed_jobs, "background_error": stats.background_error}

    def _sealed(self) -> list[tuple[int, int]]:
        """Number and end of the log segments of memtables that wait for their flush, oldest first."""
        immutables = self._db._write_path.view.immutables  # noqa: SLF001 - no public call shows segments
        return [(segment.number, segment.end) for each in reversed(immutables) for segment in each.segments]


def _orphans(path: str) -> list[str]:
    """Files that the manifest does not account for. A file on its way in or out is looked at again for a while."""
    deadline = time.monotonic() + _ORPHAN_GRACE_SECONDS
    fs = PosixFileSystem(path)
    try:
        while True:
            found = _unaccounted(fs)
            if not found or time.monotonic() >= deadline:
                return found
            threading.Event().wait(0.01)
    finally:
        fs.shut()


def _unaccounted(fs: PosixFileSystem) -> list[str]:
    manifest = read_manifest(fs)
    version = manifest.version
    tables = {file.number for _, file in version.files()}
    found = []
    for name in fs.list_directory():
        match parse_file_name(name):
            case (FileKind.TABLE, number) if number not in tables:
                found.append(name)
            case (FileKind.WAL, number) if number < version.log_number:
                found.append(name)
            case (FileKind.MANIFEST, number) if number != manifest.number:
                found.append(f"{name} (CURRENT names {manifest_name(manifest.number)})")
    # What a job of this owner is writing is no orphan; what an older epoch left is.
    written = (name for name in fs.list_directory(TMP_DIRECTORY) if name.partition("-")[0] != str(version.epoch))
    return found + [f"{TMP_DIRECTORY}/{name}" for name in written]


def main(arguments: list[str]) -> None:
    """Serve the parent until it says close or is gone."""
    settings = json.loads(arguments[0])
    command_fd, ack_fd, reply_fd = map(int, arguments[1:4])
    for fd in (command_fd, ack_fd, reply_fd):
        os.set_inheritable(fd, False)
    if settings["sabotage"]:
        apply_sabotage(settings["sabotage"])
    try:
        owner = OwnerProcess(settings, ack_fd, reply_fd)
        _serve(owner, command_fd)
    except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
        with contextlib.suppress(BrokenPipeError):
            send(reply_fd, {"is": "failed", "text": f"the owner failed\n{traceback.format_exc()}"})
        os._exit(1)


def _serve(owner: OwnerProcess, command_fd: int) -> None:
    parent = os.getppid()
    stream = MessageStream()
    poll = select.poll()
    poll.register(command_fd, select.POLLIN)
    while os.getppid() == parent:
        if not poll.poll(_PARENT_CHECK_SECONDS * 1000):
            continue
        commands = stream.read(command_fd)
        if commands is None:
            break
        for command in commands:
            if not owner.obey(command):
                return
    # The parent is gone: nobody is left to tell.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
