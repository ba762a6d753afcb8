"""The threads that do for an event loop what may wait: three lanes, so that one kind of work does not hold up another.

Bounded: each lane has a few threads, started when they are first needed, and lets only so many calls in; the others
wait in the event loop, where they can be cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from lsmproc.errors import ClosedError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_WAITING = 1024  # calls in a lane, running or queued


class Lane:
    """A few threads for one kind of work. ``run`` belongs to one event loop."""

    def __init__(self, name: str, threads: int) -> None:
        """At most ``threads`` calls run at the same time."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"lsmproc-aio-{name}")
        self._places = asyncio.Semaphore(_WAITING)
        self._closed = False

    async def run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call ``function`` on a thread. A call that is cancelled before it began never runs; else it runs to its end.

        Raises ClosedError once the lane is closed.
        """
        async with self._places:
            return await asyncio.wrap_future(self.submit(function, *args, **kwargs))

    def submit(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As run, for those who wait for it in their own way."""
        if self._closed:
            raise ClosedError("the store is closed; open it again with lsmproc.aio.open()")
        return self._pool.submit(function, *args, **kwargs)

    def close(self) -> None:
        """Take no more calls. Those that run or wait come to their end, and the threads with them.

        Those that wait find the store closed and say so. Were they cancelled, the tasks that wait for them would take
        that for a cancellation of their own, and a TaskGroup would say nothing of it.
        """
        self._closed = True
        self._pool.shutdown(wait=False)


class Lanes:
    """The lanes of one store."""

    def __init__(self, *, read_threads: int = 4, write_threads: int = 4) -> None:
        """No thread runs before it is needed."""
        for name, threads in (("read_threads", read_threads), ("write_threads", write_threads)):
            if type(threads) is not int or threads < 1:
                raise ValueError(f"{name} is a number from 1, not {threads!r}")
        self.reads: Lane = Lane("read", read_threads)
        self.writes: Lane = Lane("write", write_threads)
        self.upkeep: Lane = Lane("upkeep", 2)  # opening, flushing, compacting, closing: what may take seconds

    def close(self) -> None:
        """Close all of them."""
        for lane in (self.reads, self.writes, self.upkeep):
            lane.close()
