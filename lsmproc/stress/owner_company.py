"""What keeps the load company in a long run: snapshots and iterators come and go, work is asked for, limits change."""

from __future__ import annotations

import random
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from lsmproc.iterators.db_iterator import DBIterator
from lsmproc.snapshot import Snapshot
from lsmproc.store import LSMStore

_MOST_HELD = 6  # snapshots and iterators at a time
_STEP_SECONDS = 0.02
_FLUSH_SECONDS = 60.0
_RATES = (None, 2 << 20, 8 << 20, 64 << 20)  # bytes per second
_LEVELS = 3


class OwnerCompany:
    """One thread. ``start`` and ``stop`` follow each other."""

    def __init__(self, db: LSMStore, seed: int, reply: Callable[[dict[str, Any]], None]) -> None:
        """Use ``db``; tell of failures with ``reply``."""
        self._db = db
        self._chance = random.Random(f"{seed}/company")  # noqa: S311 - repeatable, not a secret
        self._reply = reply
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._done: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Give everything back. A thread that hangs is told to the parent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._reply({"is": "failed", "text": f"snapshots, flushes or compactions hung for {timeout:g} s"})
            self._thread = None

    def figures(self) -> dict[str, Any]:
        """What was done, and how many snapshots live in the store now, those of iterators included."""
        return {"done": dict(self._done), "snapshots": self._db.stats().snapshots.count}

    def _run(self) -> None:
        held: list[Snapshot | DBIterator] = []
        try:
            while not self._stopping.wait(self._chance.random() * 2 * _STEP_SECONDS):
                if len(held) >= _MOST_HELD or (held and self._chance.random() < 0.4):
                    held.pop(self._chance.randrange(len(held))).close()
                else:
                    self._step(held)
        except Exception:  # noqa: BLE001 - whatever it is, the parent reports it
            self._reply({"is": "failed", "text": f"what keeps the load company failed\n{traceback.format_exc()}"})
        finally:
            for each in held:
                each.close()
            self._db.env.rate_limiter.set_rate(None)

    def _step(self, held: list[Snapshot | DBIterator]) -> None:
        chance = self._chance
        what = chance.choices(("snapshot", "iterator", "scan", "rate", "flush", "compaction"), (8, 8, 8, 2, 1, 1))[0]
        self._done[what] += 1
        if what == "snapshot":
            held.append(self._db.snapshot())
        elif what == "iterator":
            cursor = self._db.iterator()
            for _ in zip(range(chance.randrange(50)), cursor, strict=False):
                pass
            held.append(cursor)
        elif what == "scan":
            for _ in zip(range(chance.randrange(200)), self._db.range(), strict=False):
                pass
        elif what == "rate":
            self._db.env.rate_limiter.set_rate(chance.choice(_RATES))
        elif what == "flush":
            self._db.flush_memtable(timeout=_FLUSH_SECONDS)
        else:
            self._db.compact_level(chance.randrange(_LEVELS))
