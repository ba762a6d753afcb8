"""One owner for each directory: a lock that dies with its holder.

``flock`` on the file LOCK, held for the life of the store. The kernel drops it when the owner dies, however it
dies, so a stale lock cannot exist; what the file says (pid, host, command, since) is text for the error message
only. Two opens in one process are found out through a registry, whatever path leads to the directory.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress

from lsmproc.errors import LockedError, StorageError
from lsmproc.formats.file_names import LOCK
from lsmproc.storage.file_system import CREATE_NEW, READ, READ_WRITE, FileSystem
from lsmproc.storage.lock_holder import is_running, present_holder

_TEXT_BYTES = 4096

_open_here: set[tuple[int, int]] = set()
_open_here_lock = threading.Lock()


class DirectoryLock:
    """Holds the lock of one store's directory until closed."""

    def __init__(self, fs: FileSystem, wait_seconds: float = 0.0, *, shared: bool = False) -> None:
        """Take the lock, waiting up to ``wait_seconds`` for its holder to let go. Raises LockedError.

        ``shared``: with other readers, while there is no owner; nothing is written.
        """
        self._fs = fs
        self._fd = -1
        self._shared = shared
        status = os.stat(fs.path)
        self._identity = (status.st_dev, status.st_ino)
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                raise LockedError(_refusal(fs.path, owner := _holder(fs)), owner=owner)
            time.sleep(0.01)  # No event tells of another process's lock.
        if shared:
            return
        try:
            with suppress(StorageError):  # A full disk must not keep the owner out: the text is for a message only.
                self._describe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the lock. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with _open_here_lock:
                _open_here.discard(self._identity)
            with suppress(StorageError):  # Closing unlocks as well, unless a forked child still has the descriptor.
                self._fs.unlock(fd)
            self._fs.close(fd)

    def forget(self) -> None:
        """In a forked child: close the descriptor that the parent's lock would outlive it through.

        Closing does not unlock: the lock belongs to the open file, which the parent still has.
        """
        global _open_here_lock  # noqa: PLW0603 - a thread of the parent may have held the old one
        _open_here_lock = threading.Lock()
        _open_here.discard(self._identity)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self) -> bool:
        with _open_here_lock:
            if self._identity in _open_here:
                return False
            fd = self._open()
            if fd is None:
                return True
            locked = False
            try:
                locked = self._fs.lock(fd, shared=self._shared)
            finally:
                if not locked:
                    self._fs.close(fd)
            if locked:
                self._fd = fd
                if not self._shared:
                    _open_here.add(self._identity)
            return locked

    def _open(self) -> int | None:
        """Open the LOCK file; None for a reader where there is none, which means that there is no owner either."""
        try:
            return self._fs.open(LOCK, READ if self._shared else READ_WRITE)
        except FileNotFoundError:
            if self._shared:
                return None
        try:
            return self._fs.open(LOCK, CREATE_NEW)
        except FileExistsError:
            return self._fs.open(LOCK, READ_WRITE)

    def _describe(self) -> None:
        text = json.dumps(
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "command": " ".join(sys.argv)[:200] or sys.executable,
                "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            }
        ).encode()
        self._fs.truncate(self._fd, 0)
        self._fs.write_all(self._fd, text, 0)


def owner_of(fs: FileSystem) -> str:
    """What the LOCK file tells of the holder, or of the last one, in words; empty when it tells nothing."""
    owner = owner_described(fs)
    try:
        return f"pid {owner['pid']} on {owner['host']} ({owner['command']}) since {owner['since']}"
    except KeyError:
        return ""


def _holder(fs: FileSystem) -> str:
    """Who has the lock, in words. A reader writes nothing into the LOCK file, and neither does a fork of an owner."""
    described = owner_described(fs)
    pid = described.get("pid")
    here = type(pid) is int and described.get("host") == socket.gethostname()
    return owner_of(fs) if here and is_running(pid) else present_holder(fs.path) or owner_of(fs)  # type: ignore[arg-type]


def owner_described(fs: FileSystem) -> dict[str, object]:
    """As ``owner_of``, as fields: pid, host, command and since; empty when the file tells nothing."""
    try:
        fd = fs.open(LOCK, READ)
        try:
            text = fs.pread(fd, _TEXT_BYTES, 0)
        finally:
            fs.close(fd)
    except OSError:
        return {}
    try:
        owner = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _refusal(path: str, owner: str) -> str:
    return (
        f"{path} is open already, by {owner or 'another process'}: a store has one owner. "
        "Close it there, wait with open(..., wait=SECONDS), read it live with lsmproc.open_follower(), or open another "
        "directory"
    )
