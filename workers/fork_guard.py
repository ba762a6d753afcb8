"""What a forked child of the owner must not keep: the descriptors that tie the owner to its workers.

A child forked by the application (gunicorn, multiprocessing, os.fork) inherits every pipe of the background. It
must neither use them nor keep them open: a worker notices its owner's death by the end of a pipe, and a copy in a
child that lives on would hide it. So the child closes its copies at once, and the fork waits for descriptors that
are just being made.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORK_WAIT_SECONDS = 5.0  # a fork waits this long at most for descriptors that are being made


class ForkGuard:
    """The descriptors of this process that a forked child closes. Thread-safe."""

    def __init__(self) -> None:
        """Register with the interpreter. That cannot be undone: see :func:`fork_guard`."""
        # A reentrant lock, because a garbage collection inside ``making`` may run code that closes descriptors.
        self._lock = threading.RLock()
        self._fds: set[int] = set()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
        )
        self._held = False

    @contextmanager
    def making(self) -> Iterator[None]:
        """No fork happens in this block, so that descriptors are made and added, or made and closed, in one step."""
        with self._lock:
            yield

    def add(self, *fds: int) -> None:
        """Close these in a forked child."""
        self._fds.update(fds)

    def close(self, *fds: int) -> None:
        """Close descriptors, added or not, and forget them."""
        with self._lock:
            for fd in fds:
                self._fds.discard(fd)
                os.close(fd)

    def _before(self) -> None:
        self._held = self._lock.acquire(timeout=FORK_WAIT_SECONDS)

    def _after_in_parent(self) -> None:
        if self._held:
            self._held = False
            self._lock.release()

    def _after_in_child(self) -> None:
        # Another thread of the parent may have held the old lock for good.
        self._lock = threading.RLock()
        self._held = False
        fds, self._fds = self._fds, set()
        for fd in fds:
            os.close(fd)


@functools.cache
def fork_guard() -> ForkGuard:
    """The one guard of this process, made at first use: hooks registered with os.register_at_fork stay for ever."""
    return ForkGuard()
