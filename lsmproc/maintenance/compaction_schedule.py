"""Compactions: picked one by one, cut into key ranges, run side by side, installed as one edit each.

Manual requests come before what the picker would like; while one is open, nothing else is picked.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lsmproc.compaction.key_ranges import grandparents, ranges_below, split
from lsmproc.errors import BackgroundError, Error, WorkerDiedError
from lsmproc.events.event import TablesMoved, ignore
from lsmproc.formats.messages import (
    CompactionDone,
    CompactionRequest,
    FlushDone,
    JobCost,
    JobFailed,
    JobOutput,
    TableOptions,
)
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.maintenance.compaction_events import compaction_begun, compaction_finished
from lsmproc.maintenance.submission import Submit, background_closed, passing_error, publish_failure
from lsmproc.protocols import Priority

if TYPE_CHECKING:
    from lsmproc.compaction.compaction import Compaction
    from lsmproc.events.event import Event
    from lsmproc.maintenance.retries import Retries
    from lsmproc.maintenance.tree import Tree
    from lsmproc.protocols import CompactionPicker
    from lsmproc.statistics import Statistics
    from lsmproc.storage.file_system import FileSystem

_log = logging.getLogger("lsmproc")

_LEAST_PART_BYTES = 8 << 20  # compressed; half a second of merging, a worker starts in a fifth of that


@dataclass(slots=True, eq=False)
class ManualCompaction:
    """A caller's wish to merge a level, or a key range of it, one level down."""

    level: int
    start: bytes | None = None
    stop: bytes | None = None
    compactions: int = 0  # how many were run for it
    error: Error | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, eq=False)
class _Running:
    """One compaction under way, in one or more parts."""

    compaction: Compaction
    manual: ManualCompaction | None
    waiting: int  # parts not answered yet
    outputs: dict[int, tuple[JobOutput, ...]] = field(default_factory=dict)  # by part
    failure: JobFailed | None = None
    seconds: float = 0.0
    job: int = 0  # of the first part
    costs: list[JobCost] = field(default_factory=list)

    @property
    def is_deeper(self) -> bool:
        """Whether it has nothing to do with level 0."""
        return self.compaction.inputs[0][0] > 0


class CompactionSchedule:
    """Decides and installs. Used on the background's callback thread only, but for ``ask`` and ``give_up``."""

    def __init__(
        self,
        fs: FileSystem,
        tree: Tree,
        picker: CompactionPicker,
        submit: Submit,
        statistics: Statistics,
        *,
        epoch: int,
        options_for: Callable[[int, bool], TableOptions],  # (output level, bottommost)
        droppable_below: Callable[[], int],
        workers: Callable[[], int],
        new_job: Callable[[], int],
        retries: Retries,
        on_change: Callable[[], None],
        on_error: Callable[[Error], None],
        publish: Callable[[Event], None] = ignore,
    ) -> None:
        """Run up to ``workers()`` compactions or parts of one at once; ``on_change`` is called after each answer."""
        self._fs = fs
        self._tree = tree
        self._picker = picker
        self._submit = submit
        self._statistics = statistics
        self._epoch = epoch
        self._options_for = options_for
        self._droppable_below = droppable_below
        self._workers = workers
        self._new_job = new_job
        self.retries = retries
        self._on_change = on_change
        self._on_error = on_error
        self._publish = publish
        self._running: list[_Running] = []
        self._manual: deque[ManualCompaction] = deque()
        self.pauses: int = 0  # blocks in which only manual compactions are started

    def set_picker(self, picker: CompactionPicker) -> None:
        """Pick as ``picker`` does from the next pass on; pickers are pure, so what runs goes on."""
        self._picker = picker

    def ask(self, manual: ManualCompaction) -> None:
        """Queue a manual compaction. Thread-safe; follow it with a scheduling pass."""
        self._manual.append(manual)

    def submit(self) -> None:
        """Start what should run now."""
        while (manual := next(iter(tuple(self._manual)), None)) is not None:
            if not self._start_manual(manual):
                return
        while not self.pauses and self.retries.due:
            version = self._tree.version
            if self._running and len(self._running) >= self._picker.parallelism(version):
                return
            full = self._parts_running >= self._workers()
            if full and not all(running.is_deeper for running in self._running):
                return
            compaction = self._picker.pick(version, self._picked())
            if compaction is None or (full and compaction.inputs[0][0]):
                return
            # Where only deeper ones run, level 0 need not wait for them: the background makes place for it.
            self._start(compaction, None)

    def submit_idle(self, paid_bytes: int) -> None:
        """Start what is worth doing while nothing has to be done: one compaction, in one part, behind all others."""
        if self._running or self._manual or self.pauses or not self.retries.due:
            return
        version = self._tree.version
        if self._picker.pick(version, ()) is None:
            compaction = self._picker.pick_idle(version, paid_bytes)
            if compaction is not None:
                self._start(compaction, None)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is wanted."""
        wanted = not self.pauses and self._picker.pick(self._tree.version, self._picked()) is not None
        return not self._running and not self._manual and not wanted

    @property
    def descriptions(self) -> tuple[str, ...]:
        """The running compactions in words."""
        return tuple(
            f"compaction to level {running.compaction.output_level} "
            f"({len(running.compaction.files)} tables, {running.compaction.input_bytes} bytes): "
            f"{running.compaction.reason}"
            for running in list(self._running)
        )

    def give_up(self, error: Error) -> None:
        """Answer all manual requests with ``error``: nothing will run any more."""
        while (manual := next(iter(tuple(self._manual)), None)) is not None:
            with suppress(ValueError):  # The callback thread was faster.
                self._manual.remove(manual)
            manual.error = manual.error or error
            manual.done.set()

    @property
    def _parts_running(self) -> int:
        return sum(running.waiting for running in self._running)

    def _picked(self) -> list[Compaction]:
        return [running.compaction for running in self._running]

    def _start_manual(self, manual: ManualCompaction) -> bool:
        """Move the first manual request on; False if something it started, or is in its way, is still running."""
        if any(running.manual is manual for running in self._running):
            return False
        compaction = None
        if manual.compactions == 0 and manual.error is None:
            compaction = self._picker.manual(
                self._tree.version, manual.level, manual.start, manual.stop, running=self._picked()
            )
            if compaction is None and self._running:
                return False
        if compaction is not None:
            manual.compactions += 1
            self._start(compaction, manual)
            return not any(running.manual is manual for running in self._running)
        with suppress(ValueError):  # It was given up on another thread.
            self._manual.remove(manual)
        manual.done.set()
        return True

    def _start(self, compaction: Compaction, manual: ManualCompaction | None) -> None:
        if compaction.trivial_move:
            self._move(compaction, manual)
            return
        version = self._tree.version
        deeper = ranges_below(version, compaction)
        options = self._options_for(compaction.output_level, not deeper)
        # Somebody waits for a manual one; the others share the cores with the writes they come from.
        least_bytes = min(options.max_file_bytes, _LEAST_PART_BYTES) if manual else options.max_file_bytes
        parts = split(compaction, 1 if compaction.idle else max(1, self._workers() - self._parts_running), least_bytes)
        running = _Running(compaction, manual, len(parts))
        self._running.append(running)
        priority = Priority.DEEPER if compaction.inputs[0][0] or compaction.idle else Priority.LEVEL0
        below = grandparents(version, compaction)
        droppable_below = self._droppable_below()
        jobs = [self._new_job() for _ in parts]
        running.job = jobs[0]
        self._publish(compaction_begun(running.job, len(parts), compaction, manual=manual is not None))
        for part, (start, stop) in enumerate(parts):
            request = CompactionRequest(
                jobs[part],
                1,
                self._fs.path,
                self._epoch,
                compaction.runs,
                start,
                stop,
                compaction.output_level,
                deeper,
                below,
                droppable_below,
                options,
                paced=False,
            )
            self._submit(
                request,
                priority,
                lambda reply, part=part: self._answered(running, part, reply),  # type: ignore[misc]
            )

    def _move(self, compaction: Compaction, manual: ManualCompaction | None) -> None:
        """Change the level of tables without reading them."""
        edit = VersionEdit(
            removed=tuple((level, file.number) for level, file in compaction.files),
            added=tuple((compaction.output_level, file) for _, file in compaction.files),
        )
        try:
            self._tree.change(edit)
        except Error as error:
            if manual is not None:
                manual.error = error
            self.retries.failed(error)
            _log.warning("moving tables failed and will be tried again: %s", error)
        else:
            self.retries.succeeded()
            self._statistics.record_move(compaction.output_level, compaction.input_bytes)
            if compaction.idle:
                self._statistics.record_idle_compaction(0)
            self._publish(
                TablesMoved(
                    output_level=compaction.output_level,
                    tables=tuple(file.number for _, file in compaction.files),
                    bytes=compaction.input_bytes,
                    reason=compaction.reason,
                )
            )

    def _answered(self, running: _Running, part: int, reply: CompactionDone | FlushDone | JobFailed) -> None:
        running.waiting -= 1
        if reply.attempt > 1:
            self._tree.remove_attempts(self._epoch, reply.job, reply.attempt + isinstance(reply, JobFailed))
        if isinstance(reply, CompactionDone):
            running.outputs[part] = reply.outputs
            running.seconds += reply.cost.seconds
            running.costs.append(reply.cost)
        elif isinstance(reply, JobFailed):
            running.failure = reply
        if not running.waiting:
            self._finish(running)
        self._on_change()

    def _finish(self, running: _Running) -> None:
        """All parts have answered: install their outputs as one edit, or remove them."""
        outputs = tuple(output for part in sorted(running.outputs) for output in running.outputs[part])
        failure = running.failure
        if failure is None:
            try:
                self._install(running, outputs)
            except (Error, OSError) as error:
                failure = JobFailed(0, 0, type(error).__name__, str(error), "", retriable=True)
        # Only now: a picker that no longer sees the compaction may pick its inputs again.
        self._running.remove(running)
        if failure is None:
            self.retries.succeeded()
            return
        for output in outputs:
            self._tree.remove_file(output.temporary_name)
        self._failed(running, failure)

    def _install(self, running: _Running, outputs: tuple[JobOutput, ...]) -> None:
        compaction = running.compaction
        files = self._tree.adopt(outputs)
        self._tree.change(
            VersionEdit(
                removed=tuple((level, file.number) for level, file in compaction.files),
                added=tuple((compaction.output_level, file) for file in files),
            )
        )
        from_level = sum(file.size for level, file in compaction.files if level == compaction.output_level)
        self._statistics.record_compaction(
            compaction.output_level,
            from_above=compaction.input_bytes - from_level,
            from_level=from_level,
            written=sum(file.size for file in files),
            seconds=running.seconds,
        )
        if compaction.idle:
            self._statistics.record_idle_compaction(sum(file.size for file in files))
        self._publish(compaction_finished(running.job, compaction, files, running.costs))

    def _failed(self, running: _Running, failure: JobFailed) -> None:
        if failure.error == "ClosedError":
            self._on_error(background_closed(failure))
            return
        self._statistics.record_failure()
        publish_failure(self._publish, "compaction", failure)
        died = failure.error == "WorkerDiedError"
        kind = WorkerDiedError if died else BackgroundError
        error = kind(failure.message, job=running.compaction.reason, remote_traceback=failure.traceback)
        if running.manual is not None:
            running.manual.error = error
        if failure.retriable:
            self.retries.failed(passing_error(failure, self._fs.path))
            _log.warning("a compaction failed and will be tried again: %s", failure.message)
        else:
            self._on_error(error)
