"""SQLite through the standard library: one table WITHOUT ROWID, WAL, autocommit, a connection per thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lsmproc.bench.systems.system import StoreOptions, System

_BUSY_SECONDS = 60.0

_PUT = "INSERT OR REPLACE INTO records VALUES (?, ?)"
_GET = "SELECT value FROM records WHERE key = ?"


class Sqlite3System:
    """An SQLite database file."""

    def __init__(self, directory: str, options: StoreOptions) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.settings: dict[str, Any] = {
            "table": "WITHOUT ROWID",
            "journal_mode": "WAL",
            "synchronous": "FULL" if options.sync else "OFF",
            "cache_size": -max(options.cache_bytes >> 10, 1),  # KiB, says the minus
        }
        self._path = str(Path(directory, "records.sqlite3"))
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._connection().execute(
            "CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        )
        self.version = sqlite3.sqlite_version

    def put(self, key: bytes, value: bytes) -> None:
        """See System."""
        self._connection().execute(_PUT, (key, value))

    def delete(self, key: bytes) -> None:
        """See System."""
        self._connection().execute("DELETE FROM records WHERE key = ?", (key,))

    def get(self, key: bytes) -> bytes | None:
        """See System."""
        row = self._connection().execute(_GET, (key,)).fetchone()
        return None if row is None else row[0]

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See System."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_PUT, records)
        connection.execute("COMMIT")

    def get_many(self, keys: list[bytes]) -> Any:
        """See System."""
        execute = self._connection().execute
        return [execute(_GET, (key,)).fetchone() for key in keys]

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """See System."""
        return self._connection().execute(f"SELECT * FROM records ORDER BY key {'DESC' if reverse else 'ASC'}")

    def seek(self, key: bytes, count: int) -> Any:
        """See System."""
        query = "SELECT * FROM records WHERE key >= ? ORDER BY key LIMIT ?"
        return self._connection().execute(query, (key, count)).fetchall()

    def compact(self) -> None:
        """See System."""
        self._connection().execute("VACUUM")

    def flush(self) -> None:
        """See System: move the log into the table."""
        self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def wait_idle(self, timeout: float) -> float:
        """See System. All work is done by the call itself."""
        del timeout
        return time.perf_counter()

    def activity(self) -> tuple[str, ...]:
        """See System."""
        return ()

    def figures(self) -> dict[str, float]:
        """See System."""
        return {}

    def close(self) -> None:
        """See System."""
        for connection in self._opened:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        try:
            found: sqlite3.Connection = self._local.connection
        except AttributeError:
            # Closed by close(), which is another thread's.
            found = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False)
            for name in ("journal_mode", "synchronous", "cache_size"):
                found.execute(f"PRAGMA {name} = {self.settings[name]}")
            self._local.connection = found
            self._opened.append(found)
        return found


def open_system(directory: str, options: StoreOptions) -> System:
    """See OpenSystem."""
    return Sqlite3System(directory, options)
