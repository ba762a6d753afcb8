"""The scheduling pass: after every change, start what should run next.

Everything here happens on the background's callback thread, one call at a time, so flushes, compactions and edits
need no lock among themselves; callers leave a wish, wake the pass and wait on a condition.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from lsmproc.errors import BackgroundError, ClosedError, Error, StorageError, copy_of
from lsmproc.events.event import BackgroundFailed, ignore
from lsmproc.maintenance.compaction_schedule import CompactionSchedule, ManualCompaction
from lsmproc.maintenance.flush_queue import FlushQueue
from lsmproc.maintenance.idle_watch import IdleWatch
from lsmproc.maintenance.obsolete_memtables import ObsoleteMemtables
from lsmproc.maintenance.retries import Retries
from lsmproc.maintenance.submission import background_closed

if TYPE_CHECKING:
    from lsmproc.events.event import Event
    from lsmproc.formats.messages import (
        CompactionDone,
        CompactionRequest,
        FlushDone,
        FlushRequest,
        JobFailed,
        TableOptions,
    )
    from lsmproc.maintenance.tree import Tree
    from lsmproc.protocols import Background, CompactionPicker, Priority
    from lsmproc.statistics import Statistics
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.writing.write_path import WritePath

_log = logging.getLogger("lsmproc")

_LOOK_SECONDS = 0.25  # who waits looks again after that long, whatever happens to the wake-ups


class Maintenance:
    """Runs the background work of one store. Thread-safe."""

    def __init__(
        self,
        fs: FileSystem,
        tree: Tree,
        write_path: WritePath,
        picker: CompactionPicker,
        background: Background,
        statistics: Statistics,
        *,
        store_uuid: bytes,
        epoch: int,
        options_for: Callable[[int, bool], TableOptions],
        droppable_below: Callable[[], int],
        flush_workers: Callable[[], int],
        compaction_workers: Callable[[], int],
        prepare_spare: Callable[[], None] | None,
        idle_after_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        publish: Callable[[Event], None] = ignore,
    ) -> None:
        """Start nothing yet. ``prepare_spare`` allocates the next log segment ahead of its use, if that is wanted.

        After ``idle_after_seconds`` without a write ``tick_idle`` finds work that nothing asks for.
        """
        self._publish = publish
        self._tree, self._write_path = tree, write_path
        self._background = background
        self._prepare_spare = prepare_spare
        self._statistics = statistics
        self._clock = clock
        # Entered by itself and not through its condition, which could not let go of it without memory.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._idle = self._closing = self._read_only = False
        self._working = threading.RLock()  # held by every callback, and by who closes the store under them
        self._promoted: frozenset[Priority] = frozenset()
        self._error: Error | None = None
        self._obsolete = ObsoleteMemtables(self._call_soon, write_path if prepare_spare is not None else None)
        self._picker = picker
        self._idle_watch = IdleWatch(idle_after_seconds, lambda: statistics.reads, clock)
        jobs = count(1)
        self._flushes = FlushQueue(
            fs,
            tree,
            write_path,
            self._submit,
            statistics,
            store_uuid=store_uuid,
            epoch=epoch,
            options=lambda: options_for(0, False),
            limit=flush_workers,
            new_job=jobs.__next__,
            retries=Retries(clock),
            obsolete=self._obsolete,
            on_change=self._pass,
            on_error=self._fail,
            publish=publish,
        )
        self._compactions = CompactionSchedule(
            fs,
            tree,
            picker,
            self._submit,
            statistics,
            epoch=epoch,
            options_for=options_for,
            droppable_below=droppable_below,
            workers=compaction_workers,
            new_job=jobs.__next__,
            retries=Retries(clock),
            on_change=self._pass,
            on_error=self._fail,
            publish=publish,
        )

    def wake(self) -> None:
        """Have a scheduling pass run soon."""
        self._call_soon(self._pass)

    def memtable_rotated(self) -> None:
        """A memtable waits for its flush; runs on the writer's thread."""
        self._tree.update_backlog()
        self.wake()
        if self._prepare_spare is not None:
            self._call_soon(self._make_spare)

    def tick(self) -> None:
        """From time to time: retry what failed, and remove files whose last reader has gone."""
        if not self._idle or self._tree.pinned_bytes or self._obsolete.waiting:
            self.wake()

    def tick_idle(self) -> None:
        """From time to time, on one thread: if nothing is to do, begin what is worth doing all the same."""
        version = self._tree.version
        busy = not self._idle or bool(self._write_path.view.immutables)
        if (
            self._idle_watch.is_idle(self._write_path.last_sequence, version, busy=busy)
            and self._picker.pick_idle(version, self._idle_watch.paid_bytes) is not None
        ):
            self._call_soon(self._use_idle_time)

    def flush_all(self, timeout: float | None) -> None:
        """Wait until the present immutable memtables are in tables.

        Raises TimeoutError, or why flushes keep failing (they are tried again all the same): NoSpaceError,
        StorageError, BackgroundError.
        """
        waiting = set(self._write_path.view.immutables)
        self._wait_for(
            lambda: waiting.isdisjoint(self._write_path.view.immutables),
            timeout,
            "the memtables are not flushed yet",
            lambda: self._flushes.retries.trouble,
        )

    def flush_here(self) -> None:
        """Write the immutable memtables in this process, while the store is being opened. Raises StorageError."""
        self._flushes.flush_here()

    def compact(self, manual: ManualCompaction) -> None:
        """Start a manual compaction; ``manual.done`` is set when it is over."""
        with self._lock:
            # Whoever ends the background sets the error first and answers what has been asked then.
            self._raise_error()
            self._compactions.ask(manual)
            self._idle = False
        self.wake()

    def wait_idle(self, timeout: float | None) -> None:
        """Wait until no flush and no compaction runs or is wanted. Raises TimeoutError, BackgroundError."""
        if self._read_only:
            return
        with self._lock:
            self._idle = False
        self.wake()
        self._wait_for(lambda: self._idle, timeout, "background work is still going on", lambda: None)

    def set_picker(self, picker: CompactionPicker) -> None:
        """Decide as ``picker`` does from now on."""
        with self._working:
            self._picker = picker
            self._tree.set_picker(picker)
            self._compactions.set_picker(picker)
        self._tree.update_backlog()
        self.wake()

    def pause(self, *, paused: bool) -> None:
        """Start no compactions but manual ones, or start them again; counted.

        Raises ClosedError, ReadOnlyError, and RuntimeError if nothing is paused that could be started again.
        """
        if self._closing or self._read_only:
            self._raise_error()
        with self._lock:
            if not paused and not self._compactions.pauses:
                raise RuntimeError(
                    "the background is not paused; each resume_background() undoes one pause_background()"
                )
            self._compactions.pauses += 1 if paused else -1
            self._tree.report_pause(paused=self.paused)
        self.wake()

    @property
    def paused(self) -> bool:
        """Whether only manual compactions are started."""
        return self._compactions.pauses > 0

    def refuse(self, error: Error) -> None:
        """Do nothing at all, and raise ``error`` when asked to: the store is read-only."""
        self._read_only = True
        self._error = error

    @property
    def running(self) -> tuple[str, ...]:
        """The running jobs in words."""
        return (*self._flushes.descriptions, *self._compactions.descriptions)

    @property
    def error(self) -> Error | None:
        """Why background work has ended for good, if it has."""
        return None if self._read_only else self._error

    def forked(self, error: Error) -> None:
        """In a forked child: do nothing any more, and raise ``error`` when asked to."""
        self._lock = threading.RLock()  # a thread of the parent may have held the old ones
        self._changed = threading.Condition(self._lock)
        self._working = threading.RLock()
        self._closing = True
        self._error = error

    def wait_quiet(self, timeout: float) -> bool:
        """After ``close``: whether no callback runs any more, having waited for ``timeout`` seconds at most."""
        if not self._working.acquire(timeout=max(timeout, 0.0)):
            return False
        self._working.release()
        return True

    def close(self) -> None:
        """Start nothing any more and let go of those who wait. Idempotent."""
        self._closing = True
        closed = ClosedError("the store is closed; open it again with lsmproc.open()")
        with self._lock:
            self._error = self._error or closed
            self._changed.notify_all()
        self._compactions.give_up(closed)
        if self._promoted:
            with suppress(ClosedError):
                self._background.promote(self._tree.directory, frozenset())

    def _pass(self) -> None:
        """Start what should run next, then tell those who wait."""
        try:
            self._tree.remove_obsolete()
            self._obsolete.wake()
            self._tree.update_backlog()
            self._tree.report_trouble(self._flushes.retries.trouble, self._compactions.retries.trouble)
            self._promote()
            if self._error is None:
                self._flushes.submit()
                self._compactions.submit()
            idle = self._flushes.idle and self._compactions.idle
        except ClosedError:
            # The background was closed under a job that had just been picked.
            if not self._closing:
                self._fail(background_closed())
            return
        except Exception as error:  # noqa: BLE001 - see below
            # Nobody would ever hear of it on this thread, and those who wait would wait for ever.
            _log.exception("the scheduling of background work failed")
            self._fail(BackgroundError(f"the scheduling of background work failed: {error!r}"))
            return
        with self._lock:
            self._idle = idle
            self._changed.notify_all()

    def _use_idle_time(self) -> None:
        """As ``_pass``, for work that nothing asks for; not if a write has come in the meantime."""
        still_quiet = self._write_path.last_sequence == self._idle_watch.sequence
        if self._error is None and still_quiet and not self._write_path.view.immutables:
            self._compactions.submit_idle(self._idle_watch.paid_bytes)
        self._pass()

    def _promote(self) -> None:
        """Have the jobs that writes stall for go before their turn, or no longer."""
        relief = self._tree.relief
        if relief != self._promoted:
            self._promoted = relief
            self._background.promote(self._tree.directory, relief)

    def _submit(
        self,
        request: FlushRequest | CompactionRequest,
        priority: Priority,
        on_reply: Callable[[FlushDone | CompactionDone | JobFailed], None],
        /,
    ) -> None:
        """Submit; the answer is dropped once the store closes. See Submit."""
        self._statistics.job_begun(request)
        self._background.submit(request, priority, lambda reply: self._answer(on_reply, reply))

    def _answer(
        self,
        on_reply: Callable[[FlushDone | CompactionDone | JobFailed], None],
        reply: FlushDone | CompactionDone | JobFailed,
    ) -> None:
        try:
            self._statistics.job_answered(reply)
            self._while_open(lambda: on_reply(reply))
        except Exception as error:  # noqa: BLE001 - as in _pass
            # The job would stay under way for ever.
            _log.exception("the answer of a background job could not be taken")
            self._fail(BackgroundError(f"the answer of a background job could not be taken: {error!r}"))

    def _call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the background's thread. Never raises: a writer whose write is done may call this."""
        if self._closing or self._read_only:
            return
        try:
            self._background.call_soon(lambda: self._while_open(callback))
        except ClosedError:
            if not self._closing:
                self._fail(background_closed())

    def _while_open(self, callback: Callable[[], None]) -> None:
        """Run a callback, unless the store is closing; closing waits for it."""
        with self._working:
            if not self._closing:
                callback()

    def _make_spare(self) -> None:
        try:
            if self._prepare_spare is not None:
                self._prepare_spare()
        except StorageError as error:
            _log.warning("no log segment could be allocated ahead, writes make their own: %s", error)

    def _fail(self, error: Error) -> None:
        """Background work cannot go on: writes raise from now on, reads go on."""
        with self._lock:
            first = self._error is None
            self._error = self._error or error
            self._changed.notify_all()
        if first:
            self._publish(BackgroundFailed(error=type(error).__name__, message=str(error)))
        self._write_path.fail(error)
        self._compactions.give_up(error)

    def _wait_for(
        self,
        reached: Callable[[], bool],
        timeout: float | None,
        late: str,
        trouble: Callable[[], Error | None],
    ) -> None:
        deadline = None if timeout is None else self._clock() + timeout
        while True:
            # Where no other thread tries again what has failed, this one does.
            self.tick()
            with self._lock:
                if reached():
                    return
                self._raise_error()
                if (error := trouble()) is not None:
                    raise copy_of(error)
                left = _LOOK_SECONDS if deadline is None else deadline - self._clock()
                if left <= 0:
                    raise TimeoutError(f"{late} after {timeout} s")
                self._changed.wait(min(left, _LOOK_SECONDS))

    def _raise_error(self) -> None:
        if self._error is not None:
            raise copy_of(self._error)
