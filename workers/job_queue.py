"""Jobs that wait for a worker: higher priorities first, then in the order of submission."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace

from lsmproc.protocols import Priority
from lsmproc.workers.job_run import OnReply, Request


@dataclass(slots=True, eq=False)
class Job:
    """One submitted request until it is answered."""

    request: Request
    priority: Priority
    on_reply: OnReply
    order: int = 0  # given by the first queue it enters, and kept when it is queued again
    deaths: int = 0  # workers that died of it, or at least during it

    def next_attempt(self) -> None:
        """Make the request another one, whose outputs get names of their own."""
        self.request = replace(self.request, attempt=self.request.attempt + 1)


def _own_priority(job: Job) -> Priority:
    return job.priority


class JobQueue:
    """The waiting jobs of one kind of worker. Not thread-safe."""

    def __init__(self, rank: Callable[[Job], Priority] = _own_priority) -> None:
        """Start empty. ``rank`` tells at which priority a job counts; see ``reorder``."""
        self._rank = rank
        self._heap: list[tuple[Priority, int, Job]] = []
        self._submitted = 0

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._heap)

    def push(self, job: Job) -> None:
        """Queue a job; one that was queued before takes its old place."""
        if not job.order:
            self._submitted += 1
            job.order = self._submitted
        heapq.heappush(self._heap, (self._rank(job), job.order, job))

    def first(self) -> Job:
        """The job that is next, left in its place. REQUIRES: one waits."""
        return self._heap[0][2]

    def reorder(self) -> None:
        """Rank all waiting jobs anew."""
        for job in self.drain():
            self.push(job)

    def pop(self) -> Job:
        """The next job. REQUIRES: one waits."""
        return heapq.heappop(self._heap)[2]

    def drain(self) -> list[Job]:
        """All waiting jobs in order; none wait afterwards."""
        jobs = [job for _, _, job in sorted(self._heap, key=lambda item: item[:2])]
        self._heap.clear()
        return jobs
