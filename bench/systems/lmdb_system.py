"""LMDB: a B+tree in a mapped file. One transaction for each call, as a service without batches would use it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import lmdb

from lsmproc.bench.systems.system import StoreOptions, System

_MAP_BYTES = 64 << 30  # address space, not disk


class LmdbSystem:
    """An LMDB environment."""

    def __init__(self, directory: str, options: StoreOptions) -> None:
        self.settings: dict[str, Any] = {"sync": options.sync, "writemap": not options.sync, "map_size": _MAP_BYTES}
        self._env = lmdb.open(directory, **self.settings)
        self.version = f"{lmdb.__version__}, LMDB {'.'.join(map(str, lmdb.version()))}"

    def put(self, key: bytes, value: bytes) -> None:
        """See System."""
        with self._env.begin(write=True) as transaction:
            transaction.put(key, value)

    def delete(self, key: bytes) -> None:
        """See System."""
        with self._env.begin(write=True) as transaction:
            transaction.delete(key)

    def get(self, key: bytes) -> bytes | None:
        """See System."""
        with self._env.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See System."""
        with self._env.begin(write=True) as transaction:
            put = transaction.put
            for key, value in records:
                put(key, value)

    def get_many(self, keys: list[bytes]) -> Any:
        """See System."""
        with self._env.begin() as transaction:
            return list(map(transaction.get, keys))

    def scan(self, *, reverse: bool = False) -> Iterator[Any]:
        """See System."""
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            yield from cursor.iterprev() if reverse else cursor.iternext()

    def seek(self, key: bytes, count: int) -> Any:
        """See System."""
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(key)
            return [record for record, _ in zip(cursor.iternext(), range(count), strict=False)]

    def compact(self) -> None:
        """See System. There is nothing to merge."""

    def flush(self) -> None:
        """See System. There is nothing to flush."""

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
        self._env.close()


def open_system(directory: str, options: StoreOptions) -> System:
    """See OpenSystem."""
    return LmdbSystem(directory, options)
