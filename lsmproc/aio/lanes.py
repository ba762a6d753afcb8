"""The threads that do for an event loop what may wait: three lanes, so that one kind of work does not hold up another.

Bounded: each lane has a few threads, started when they are first needed, and lets only so many calls in; the others
wait in the event loop, where they can be cancelled.

Daemon threads, and therefore no ThreadPoolExecutor: the interpreter waits for the threads of one at its end, and a
program that forgot to close a store whose writes are stalled would never end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from lsmproc.errors import ClosedError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_Call = tuple["Future[Any]", Callable[[], Any]]

_WAITING = 1024  # calls in a lane, running or queued


class Lane:
    """A few threads for one kind of work. ``run`` belongs to one event loop, ``submit`` to any thread."""

    def __init__(self, name: str, threads: int) -> None:
        """At most ``threads`` calls run at the same time."""
        self._name = name
        self._limit = threads
        self._places = asyncio.Semaphore(_WAITING)
        self._lock = threading.Lock()  # guards what follows
        self._started = 0
        self._closed = False
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)  # threads that have done a call and wait for another, or a few too many

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
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise ClosedError("the store is closed; open it again with lsmproc.aio.open()")
            self._calls.put((future, partial(function, *args, **kwargs)))
            if not self._idle.acquire(blocking=False) and self._started < self._limit:
                self._started += 1
                name = f"lsmproc-aio-{self._name}_{self._started}"
                threading.Thread(target=_work, args=(self._calls, self._idle), name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Take no more calls. Those that run or wait come to their end, and the threads with them.

        Those that wait find the store closed and say so. Were they cancelled, the tasks that wait for them would take
        that for a cancellation of their own, and a TaskGroup would say nothing of it.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in range(self._started):
                    self._calls.put(None)


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


def _work(calls: SimpleQueue[_Call | None], idle: threading.Semaphore) -> None:
    while (call := calls.get()) is not None:
        _answer(*call)
        del call  # What it holds is not kept until the next one comes.
        idle.release()


def _answer(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
        future.set_exception(error)
    else:
        future.set_result(result)
