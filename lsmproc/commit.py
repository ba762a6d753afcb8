"""One writer's records on their way through the queue of the write path."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lsmproc.formats.log_format import batch_body, delete_body, put_body

if TYPE_CHECKING:
    from lsmproc.errors import Error


class Commit:
    """Records that become part of the store together, and what has become of them. Used under the mutex."""

    __slots__ = ("abandoned", "done", "error", "keys", "published", "sequence", "size", "sync", "turn", "values")

    def __init__(self, keys: list[bytes], values: list[bytes | None], *, sync: bool) -> None:
        """Wait to be written: None among the values is a deletion; ``sync`` asks for durability."""
        self.keys = keys
        self.values = values
        self.sync = sync
        self.size = sum(map(len, keys)) + sum(map(len, filter(None, values)))
        self.sequence = 0  # once it is in the log
        self.published = False
        self.done = False
        self.abandoned = False  # its writer has left: it must not be counted on to lead
        self.error: Error | None = None
        self.turn = threading.Lock()  # held until the commit is done, or its writer is to lead
        self.turn.acquire()

    def body(self, sequence: int) -> bytes:
        """What the log holds of it. REQUIRES: it has records."""
        if len(self.keys) > 1:
            return batch_body(sequence, self.keys, self.values)
        value = self.values[0]
        return delete_body(sequence, self.keys[0]) if value is None else put_body(sequence, self.keys[0], value)

    def raise_error(self) -> None:
        """Raise what went wrong with it, if anything."""
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        """Let the writer go on if it waits. Once too often does no harm: it does not wait again. REQUIRES: mutex."""
        if self.turn.locked():
            self.turn.release()
