"""Immutable memtables on their way to level 0.

The queue itself is the view's list of immutable memtables. Several may be flushed at once, but their tables are
installed in the order of the memtables, oldest first, because the order of level 0 is the order of writing.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.errors import BackgroundError, Error, WorkerDiedError
from lsmproc.events.event import FlushBegun, FlushFinished, JobFailing, ignore
from lsmproc.formats.file_names import job_output_name
from lsmproc.formats.messages import (
    CompactionDone,
    FlushDone,
    FlushRequest,
    JobCost,
    JobFailed,
    JobOutput,
    TableOptions,
)
from lsmproc.formats.version_edit import VersionEdit
from lsmproc.maintenance.submission import Submit, background_closed, passing_error, publish_failure
from lsmproc.protocols import Priority
from lsmproc.storage.tables import create_table

if TYPE_CHECKING:
    from lsmproc.events.event import Event
    from lsmproc.maintenance.obsolete_memtables import ObsoleteMemtables
    from lsmproc.maintenance.retries import Retries
    from lsmproc.maintenance.tree import Tree
    from lsmproc.reading.read_view import ImmutableMemtable
    from lsmproc.statistics import Statistics
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.writing.write_path import WritePath

_log = logging.getLogger("lsmproc")


class FlushQueue:
    """Hands immutable memtables to the background. Used on the background's callback thread only."""

    def __init__(
        self,
        fs: FileSystem,
        tree: Tree,
        write_path: WritePath,
        submit: Submit,
        statistics: Statistics,
        *,
        store_uuid: bytes,
        epoch: int,
        options: Callable[[], TableOptions],
        limit: Callable[[], int],
        new_job: Callable[[], int],
        retries: Retries,
        obsolete: ObsoleteMemtables,
        on_change: Callable[[], None],
        on_error: Callable[[Error], None],
        publish: Callable[[Event], None] = ignore,
    ) -> None:
        """Run up to ``limit()`` flushes at once, with ``options()``; ``on_change`` is called after each answer."""
        self._publish = publish
        self._fs = fs
        self._tree = tree
        self._write_path = write_path
        self._submit = submit
        self._statistics = statistics
        self._store_uuid = store_uuid
        self._epoch = epoch
        self._options = options
        self._limit = limit
        self._new_job = new_job
        self.retries = retries
        self._obsolete = obsolete
        self._on_change = on_change
        self._on_error = on_error
        self._running: dict[ImmutableMemtable, FlushDone | None] = {}

    def submit(self) -> None:
        """Start flushes for waiting memtables, oldest first."""
        for immutable in reversed(self._write_path.view.immutables):
            if len(self._running) >= self._limit() or not self.retries.due:
                return
            if immutable not in self._running:
                self._running[immutable] = None
                request = FlushRequest(
                    self._new_job(),
                    1,
                    self._fs.path,
                    self._store_uuid,
                    self._epoch,
                    immutable.segments,
                    self._options(),
                    paced=False,
                )
                self._publish(
                    FlushBegun(
                        job=request.job,
                        segments=tuple(segment.number for segment in immutable.segments),
                        bytes=sum(segment.end for segment in immutable.segments),
                        records=len(immutable.memtable.entries),
                    )
                )
                self._submit(
                    request,
                    Priority.FLUSH,
                    lambda reply, of=immutable: self._answered(of, reply),  # type: ignore[misc]
                )

    def flush_here(self) -> None:
        """Write the waiting memtables in this process, now. REQUIRES: no flush runs. Raises StorageError."""
        for immutable in reversed(self._write_path.view.immutables):
            self._install(immutable, self._flush_from_memory(immutable, self._new_job()))

    @property
    def idle(self) -> bool:
        """Whether no memtable waits and no flush runs."""
        return not self._running and not self._write_path.view.immutables

    @property
    def descriptions(self) -> tuple[str, ...]:
        """The running flushes in words."""
        return tuple(
            f"flush of segment {', '.join(str(segment.number) for segment in immutable.segments)}"
            for immutable in self._running
        )

    def _answered(self, immutable: ImmutableMemtable, reply: FlushDone | CompactionDone | JobFailed) -> None:
        if reply.attempt > 1:
            self._tree.remove_attempts(self._epoch, reply.job, reply.attempt + isinstance(reply, JobFailed))
        try:
            if isinstance(reply, FlushDone):
                self._running[immutable] = reply
                self._install_in_order()
            elif isinstance(reply, JobFailed):
                self._failed(immutable, reply)
        except BaseException:
            self._running.pop(immutable, None)  # Whatever was done of it: as long as it waits, it is flushed again.
            raise
        self._on_change()

    def _install_in_order(self) -> None:
        for immutable in reversed(self._write_path.view.immutables):
            done = self._running.get(immutable)
            if done is None:
                return
            try:
                self._install(immutable, done)
            except (Error, OSError) as error:
                for output in done.outputs:
                    self._tree.remove_file(output.temporary_name)  # Unless it has got its final name.
                text = str(error)
                self._publish(JobFailing(kind="flush", error=type(error).__name__, message=text))
                self._give_back(immutable, error if isinstance(error, Error) else BackgroundError(text), text)
                return
            del self._running[immutable]
            self._obsolete.add(immutable.memtable.entries)
            self.retries.succeeded()

    def _install(self, immutable: ImmutableMemtable, done: FlushDone) -> None:
        # Before the outputs are adopted: that syncs the directory, so the names of these segments are durable as well.
        segments = self._write_path.live_segments(besides=immutable)
        files = self._tree.adopt(done.outputs)
        edit = VersionEdit(
            added=tuple((0, file) for file in files),
            log_number=segments[0][0],
            last_sequence=immutable.segments[-1].last_sequence,
            segments=segments if files else None,
        )
        self._tree.change(edit, immutable)
        raw_bytes, size = sum(file.raw_bytes for file in files), sum(file.size for file in files)
        self._statistics.record_flush(raw_bytes, size, done.cost.seconds)
        self._publish(
            FlushFinished(
                job=done.job,
                tables=tuple(file.number for file in files),
                records=sum(file.entries for file in files),
                raw_bytes=raw_bytes,
                bytes=size,
                seconds=done.cost.seconds,
                cpu_seconds=done.cost.cpu_seconds,
                worker_pid=done.cost.pid or os.getpid(),
            )
        )

    def _failed(self, immutable: ImmutableMemtable, failure: JobFailed) -> None:
        self._statistics.record_failure()
        publish_failure(self._publish, "flush", failure)
        if failure.error == "ClosedError":
            del self._running[immutable]
            self._on_error(background_closed(failure))
        elif failure.error == "WorkerDiedError":
            # Whatever kills a worker three times would kill the owner as well.
            del self._running[immutable]
            self._on_error(WorkerDiedError(failure.message, job=failure.message))
        elif not failure.retriable:
            _log.error("the log of a memtable is damaged, it is flushed from memory instead: %s", failure.message)
            try:
                self._running[immutable] = self._flush_from_memory(immutable, failure.job)
            except Error as error:
                del self._running[immutable]
                text = f"{failure.message}; and writing it from memory failed: {error}"
                self._on_error(BackgroundError(text, job=failure.message, remote_traceback=failure.traceback))
                return
            self._install_in_order()
        else:
            self._give_back(immutable, passing_error(failure, self._fs.path), failure.message)

    def _give_back(self, immutable: ImmutableMemtable, error: Error, message: str) -> None:
        """Let the memtable wait for another attempt."""
        del self._running[immutable]
        self.retries.failed(error)
        _log.warning("a flush failed and will be tried again (failure %d): %s", self.retries.failures, message)

    def _flush_from_memory(self, immutable: ImmutableMemtable, job: int) -> FlushDone:
        """Write the table in this process, from the memtable and not from its log."""
        name = job_output_name(self._epoch, job, 0, 0)
        builder = create_table(
            self._fs, name, self._options(), unique_id=secrets.randbits(64), grant=lambda _size: None
        )
        try:
            builder.add(*immutable.memtable.columns())
            file = builder.finish()
        except BaseException:
            builder.abandon()
            raise
        return FlushDone(job, 0, (JobOutput(name, file),), JobCost(file.entries, file.entries, 0, file.size, 0.0, 0.0))
