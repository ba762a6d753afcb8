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
import sys
import threading
import time
import traceback
from functools import partial
from typing import Any

from lsmproc import env as env_module
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import CorruptionError, Error
from lsmproc.store import LSMStore
from lsmproc.stress import owner_views
from lsmproc.stress.armed_disk import Armed, ArmedFileSystem, Trigger
from lsmproc.stress.channel import MessageStream, send
from lsmproc.stress.fragile_disk import FragileDisk
from lsmproc.stress.operations import LoadShape
from lsmproc.stress.owner_company import OwnerCompany
from lsmproc.stress.owner_load import OwnerLoad
from lsmproc.workers.process_background import ProcessBackground

_PARENT_CHECK_SECONDS = 5.0
_PAUSE_SECONDS = 30.0
_ARMED_JOBS = "lsmproc.stress.armed_jobs"


class OpeningRefusedError(Exception):
    """The store was not opened, for a reason that the parent reckons with; it was told."""


class OwnerProcess:
    """One open store, its load threads and its parent."""

    def __init__(self, settings: dict[str, Any], ack_fd: int, reply_fd: int) -> None:
        """Open the store of ``settings`` and tell the parent. Raises OpeningRefusedError."""
        self._shape = LoadShape.from_json_dict(settings["load"])
        self._reply_fd = reply_fd
        self._reply_lock = threading.Lock()
        self._path: str = settings["path"]
        self._cut_opening: dict[str, Any] = settings.get("cut_opening", {})
        config = LSMConfig.from_options(self._path, **settings["options"])
        root = os.path.dirname(self._path)
        self._trigger = Trigger(root, Armed.read(root, "owner") if settings.get("armed") else None)
        self._disk = FragileDisk(self._path) if settings["volume"] == "model" else None
        if self._disk is None:
            self._env = Env.of(config)
            self._env.open_file_system = partial(ArmedFileSystem, trigger=self._trigger)
        else:
            # Jobs in threads of this process, so that one journal sees every file.
            self._env = Env(background="thread", open_file_system=self._disk.open_file_system)
            if self._cut_opening:
                self._disk.lose_power_after(self._cut_opening["after"], lambda: self._cut(self._cut_opening))
        self._db = self._open(config, tolerate=settings.get("tolerate_opening", False))
        self._load = OwnerLoad(self._db, settings["seed"], self._shape, ack_fd, self.reply)
        self._company = OwnerCompany(self._db, settings["seed"], self.reply)

    def reply(self, message: dict[str, Any]) -> None:
        """Send a message to the parent."""
        with self._reply_lock:
            send(self._reply_fd, message)

    def obey(self, command: dict[str, Any]) -> bool:
        """Do what the parent asks; False when it was to close."""
        match command["do"]:
            case "load":
                self._load.start(command["cycle"], tolerate=command.get("tolerate", False))
                self.reply({"is": "loading"})
            case "pause":
                self._pause()
            case "dump":
                self.reply({"is": "dump", **owner_views.dump(self._db, self._shape)})
            case "survey":
                self.reply({"is": "survey", **owner_views.survey(self._db, self._shape)})
            case "workers":
                self.reply({"is": "workers", **owner_views.workers(self._db)})
            case "sealed":
                self.reply({"is": "sealed", "segments": owner_views.sealed(self._db)})
            case "health":
                refused = {str(thread): error for thread, error in self._load.refused.items()}
                self.reply({"is": "health", "usable": owner_views.usable(self._db), "refused": refused})
            case "sync":
                self._db.sync()
                self.reply({"is": "synced"})
            case "cut":
                self._cut(command)
            case "arm":
                self._arm()
            case "company":
                if command["on"] is not None:
                    self._company.start() if command["on"] else self._company.stop(_PAUSE_SECONDS)
                self.reply({"is": "company", **self._company.figures()})
            case "close":
                self._close(tolerate=command.get("tolerate", False))
                return False
        return True

    def _open(self, config: LSMConfig, *, tolerate: bool) -> LSMStore:
        self.reply({"is": "opening"})
        started = time.perf_counter()
        try:
            db = LSMStore(config, env=self._env)
        except Error as error:
            if not tolerate:
                raise
            file = error.file if isinstance(error, CorruptionError) else getattr(error, "filename", None)
            self.reply({"is": "not opened", "error": type(error).__name__, "text": str(error), "file": file})
            raise OpeningRefusedError from error
        seconds = time.perf_counter() - started
        if self._cut_opening:
            self._cut(self._cut_opening)  # It had fewer steps than that.
        # A damaged store may not be able to say what belongs to it; nobody asks then.
        orphans = [] if tolerate else owner_views.orphans(self._path)
        self.reply({"is": "opened", "seconds": seconds, "orphans": orphans})
        return db

    def _arm(self) -> None:
        armed = Armed.read(os.path.dirname(self._path), "owner")
        if armed is not None:
            self._trigger.arm(armed)

    def _cut(self, command: dict[str, Any]) -> None:
        """Lose power: from here on nothing that this process writes counts."""
        assert self._disk is not None
        self._disk.lose_power(command["policy"], command["seed"])
        self.reply({"is": "cut"})

    def _pause(self) -> None:
        if not self._load.stop(_PAUSE_SECONDS):
            self.reply({"is": "failed", "text": f"a write hung for {_PAUSE_SECONDS:g} s: {self._db.stats().stall}"})
        self.reply({"is": "paused", "open": sorted(self._load.refused)})

    def _close(self, *, tolerate: bool) -> None:
        self._pause()
        error = ""
        try:
            self._db.close()
        except Error as reason:
            if not tolerate:
                raise
            error = f"{type(reason).__name__}: {reason}"
        self._env.close()
        self.reply({"is": "closed", "error": error})


def main(arguments: list[str]) -> None:
    """Serve the parent until it says close or is gone."""
    settings = json.loads(arguments[0])
    command_fd, ack_fd, reply_fd = map(int, arguments[1:4])
    for fd in (command_fd, ack_fd, reply_fd):
        os.set_inheritable(fd, False)
    if settings.get("armed_workers"):
        _arm_workers()
    if settings["sabotage"]:
        from lsmproc.stress.sabotage import apply_sabotage  # noqa: PLC0415 - most owners are started without

        apply_sabotage(settings["sabotage"])
    try:
        owner = OwnerProcess(settings, ack_fd, reply_fd)
        _serve(owner, command_fd)
    except OpeningRefusedError:
        os._exit(0)
    except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
        with contextlib.suppress(BrokenPipeError):
            send(reply_fd, {"is": "failed", "text": f"the owner failed\n{traceback.format_exc()}"})
        os._exit(1)


def _arm_workers() -> None:
    """Give workers another runner module, which looks for what is armed; the engine has no argument for it."""
    process = partial(ProcessBackground, flush_runner=_ARMED_JOBS, compaction_runner=_ARMED_JOBS)
    setattr(env_module, ProcessBackground.__name__, process)


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
