"""What can be told of a store from outside, without its lock and without its owner's help: alive or dead, and figures.

The owner rewrites the page STATUS about once a second. Whether it still lives, the page cannot say: that is decided by
the process that it names (number, start time and boot) and by the lock of the directory, as the kernel lists it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lsmproc.errors import CorruptionError, NotAStoreError
from lsmproc.formats.file_names import CURRENT
from lsmproc.storage.directory_lock import owner_described
from lsmproc.storage.event_log_reader import read_all_events, read_last_events
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.lock_holder import owner_lock_is_held
from lsmproc.storage.owner_process import ProcessIdentity, is_running
from lsmproc.storage.status_file import read_page

_EVENTS = 50
_FRESH_INTERVALS = 2  # a page that is older than so many of its intervals is late

Owner = Literal["running", "silent", "closed", "dead", "unknown"]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store as its page and the system describe it."""

    path: str
    owner: Owner  # "silent": lives and has not written for long; "unknown": has the store open and writes no page
    text: str  # the same in a sentence
    age_seconds: float | None  # of the page; None if there is none
    page: dict[str, Any] = field(default_factory=dict)  # see events/status_writer.py; empty if there is none
    events: tuple[dict[str, Any], ...] = ()  # the newest, oldest first

    @property
    def stats(self) -> dict[str, Any]:
        """The tree of ``Stats.to_json_dict``; empty if there is no page."""
        stats = self.page.get("stats")
        return stats if isinstance(stats, dict) else {}

    @property
    def rates(self) -> dict[str, Any]:
        """Rates of the last second that the owner wrote of."""
        rates = self.page.get("rates")
        return rates if isinstance(rates, dict) else {}

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        page = {key: value for key, value in self.page.items() if key not in {"events", "path"}}
        return {
            "path": self.path,
            "owner": self.owner,
            "text": self.text,
            "age_seconds": self.age_seconds,
            **page,
            "events": list(self.events),
        }


def read_status(path: str | os.PathLike[str], *, now_ns: Callable[[], int] = time.time_ns) -> StoreStatus:
    """The status of the store in ``path``, open or not, from any process. Takes no lock and changes nothing.

    Raises NotAStoreError, StorageError.
    """
    path = os.path.abspath(os.fspath(path))
    fs = _file_system(path)
    try:
        try:
            page = read_page(fs)[1]
        except (FileNotFoundError, CorruptionError):
            page = {}
        events = read_last_events(fs, _EVENTS) or page.get("events")
        locked_by = owner_described(fs)
    finally:
        fs.shut()
    age = _age(page, now_ns())
    owner, text = _judge(path, page, age, locked_by)
    return StoreStatus(path, owner, text, age, page, _plain_events(events))


def read_events(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """All events in LOG and the old logs of the store in ``path``, oldest first, as plain data.

    Works on a store that is open elsewhere. Raises NotAStoreError, StorageError.
    """
    fs = _file_system(os.path.abspath(os.fspath(path)))
    try:
        yield from read_all_events(fs)
    finally:
        fs.shut()


def _file_system(path: str) -> PosixFileSystem:
    if not os.path.isfile(os.path.join(path, CURRENT)):
        raise NotAStoreError(f"there is no store at {path}; check the path")
    return PosixFileSystem(path)


def _judge(path: str, page: dict[str, Any], age: float | None, locked_by: dict[str, object]) -> tuple[Owner, str]:
    held = owner_lock_is_held(path)
    if age is None:
        if held:
            return "unknown", "open, but its owner writes no status page (background='inline', or just opened)"
        return "closed", "not open, and no owner has ever left a status page"
    pid = page.get("pid")
    since = f"{age:.1f} s ago"
    if page.get("state") == "closed":
        if held:
            return "unknown", f"open again; the page is of the owner before, pid {pid}, which closed it {since}"
        return "closed", f"closed in order by pid {pid}, {since}"
    if not is_running(_identity(page)):
        if not held:
            return "dead", f"its owner, pid {pid}, died; this is its last state, {since}"
        if age > _late(page) or any(locked_by.get(name) != page.get(name) for name in ("pid", "host")):
            return "unknown", f"open by another process; the page is of the owner before, pid {pid}, {since}"
        # It lives in another container, where processes have other numbers.
    if age > _late(page):
        return "silent", f"its owner, pid {pid}, lives but has not written for {age:.1f} s: stopped, or stuck"
    return "running", f"running, pid {pid}"


def _late(page: dict[str, Any]) -> float:
    interval = page.get("interval_seconds")
    return _FRESH_INTERVALS * (interval if isinstance(interval, (int, float)) else 5.0)


def _identity(page: dict[str, Any]) -> ProcessIdentity:
    pid, started, boot_id = page.get("pid"), page.get("process_started"), page.get("boot_id")
    if not isinstance(pid, int) or not isinstance(started, int):
        return ProcessIdentity(0, 0, "")
    return ProcessIdentity(pid, started, str(boot_id))


def _age(page: dict[str, Any], now_ns: int) -> float | None:
    written = page.get("written_ns")
    return max(0.0, (now_ns - written) / 1e9) if isinstance(written, int) else None


def _plain_events(events: Any) -> tuple[dict[str, Any], ...]:
    return tuple(event for event in events if isinstance(event, dict)) if isinstance(events, list) else ()
