"""Which jobs go before their turn: those that relieve what the writes of their store stall for.

A compaction may wait while nobody waits for it. Once writes are slowed down or stopped because of level 0 or of the
debt, the jobs that work off just that rank with flushes; others of the store, and of other stores, keep their places.
"""

from __future__ import annotations

from lsmproc.protocols import Priority
from lsmproc.workers.job_queue import Job


class Promotions:
    """The promoted priorities of each store's directory. Changed by one thread, read by any."""

    def __init__(self) -> None:
        """Promote nobody."""
        self._promoted: dict[str, frozenset[Priority]] = {}

    def set(self, directory: str, priorities: frozenset[Priority]) -> None:
        """Promote jobs of these priorities of the store in ``directory``, and no others of it."""
        if priorities:
            self._promoted[directory] = priorities
        else:
            self._promoted.pop(directory, None)

    def rank(self, job: Job) -> Priority:
        """The priority at which ``job`` counts now."""
        promoted = self._promoted.get(job.request.directory)
        return Priority.FLUSH if promoted is not None and job.priority in promoted else job.priority
