"""The load that an owner puts on its store: one thread for each stream of operations, one acknowledgement for each."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from lsmproc.errors import Error
from lsmproc.store import LSMStore
from lsmproc.stress.channel import acknowledge
from lsmproc.stress.operations import LoadShape, Operation, operations

_RETRY_SECONDS = 0.02


class OwnerLoad:
    """The threads of one process. ``start`` and ``stop`` follow each other."""

    def __init__(
        self, db: LSMStore, seed: int, shape: LoadShape, ack_fd: int, reply: Callable[[dict[str, Any]], None]
    ) -> None:
        """Write to ``db``; acknowledge through the pipe; tell of failures with ``reply``."""
        self._db = db
        self._seed = seed
        self._shape = shape
        self._ack_fd = ack_fd
        self._reply = reply
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.refused: dict[int, str] = {}  # by thread: the error of the operation that it tries again and again

    def start(self, cycle: int, *, tolerate: bool) -> None:
        """Begin the operations of a cycle. ``tolerate``: an error of this package is no failure; try again."""
        self._stopping.clear()
        self.refused = {}
        self._threads = [
            threading.Thread(target=self._apply_all, args=(cycle, thread, tolerate), daemon=True)
            for thread in range(self._shape.threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Let every thread end after its operation; False if one hangs."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        hangs = any(thread.is_alive() for thread in self._threads)
        self._threads = []
        return not hangs

    def _apply_all(self, cycle: int, thread: int, tolerate: bool) -> None:
        try:
            for done, operation in enumerate(operations(self._seed, cycle, thread, self._shape), 1):
                if self._stopping.is_set() or not self._persist(operation, thread, tolerate):
                    return
                acknowledge(self._ack_fd, thread, done)
        except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
            self._reply({"is": "failed", "text": f"a write failed in thread {thread}\n{traceback.format_exc()}"})

    def _persist(self, operation: Operation, thread: int, tolerate: bool) -> bool:
        """Apply an operation, as often as it takes; False when it is time to end, and its outcome is not known."""
        while True:
            try:
                self._apply(operation)
            except Error as error:
                if not tolerate:
                    raise
                if thread not in self.refused:
                    self._reply({"is": "refused", "thread": thread, "error": type(error).__name__, "text": str(error)})
                self.refused[thread] = type(error).__name__
                if self._stopping.wait(_RETRY_SECONDS):
                    return False
            else:
                self.refused.pop(thread, None)
                return True

    def _apply(self, operation: Operation) -> None:
        sync = True if operation.sync else None
        if len(operation.keys) > 1:
            with self._db.write_batch(sync=sync) as batch:
                for key, value in zip(operation.keys, operation.values, strict=True):
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        elif (only := operation.values[0]) is None:
            self._db.delete(operation.keys[0], sync=sync)
        else:
            self._db.put(operation.keys[0], only, sync=sync)
        if operation.look_back:
            written = dict(zip(operation.keys, operation.values, strict=True))
            for key, value in written.items():
                if self._db.get(key) != value:
                    raise AssertionError(f"{key!r} does not hold what {operation.id} has just written")
