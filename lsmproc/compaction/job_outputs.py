"""The tables that one attempt at a job writes: named, counted, and removed if the attempt fails."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lsmproc.errors import StorageError
from lsmproc.formats.file_names import TMP_DIRECTORY, job_output_name
from lsmproc.formats.messages import JobOutput
from lsmproc.storage.tables import create_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import CompactionRequest, FlushRequest
    from lsmproc.protocols import TableBuilder
    from lsmproc.storage.file_system import FileSystem


def random_unique_id() -> int:
    """64 random bits, so that no two tables are ever taken for each other."""
    return int.from_bytes(os.urandom(8), "big")  # not secrets: it loads 4 MiB of cryptography


class JobOutputs:
    """One table after the other; ascending, because the records come in order."""

    def __init__(
        self,
        fs: FileSystem,
        request: FlushRequest | CompactionRequest,
        grant: Callable[[int], None],
        new_unique_id: Callable[[], int],
    ) -> None:
        """Nothing is created before the first record."""
        self._fs = fs
        self._request = request
        self._grant = grant
        self._new_unique_id = new_unique_id
        self._builder: TableBuilder | None = None
        self._names: list[str] = []
        self._finished: list[JobOutput] = []

    @property
    def size(self) -> int:
        """Bytes of the table being written, 0 if there is none."""
        return 0 if self._builder is None else self._builder.size

    def add(self, keys: list[bytes], values: list[bytes | None], sequences: list[int]) -> None:
        """Append records to the current table, beginning one if there is none."""
        if self._builder is None:
            self._builder = self._create()
        self._builder.add(keys, values, sequences)

    def cut(self) -> None:
        """Finish the current table, if there is one: the next record begins another."""
        if self._builder is not None:
            file = self._builder.finish()
            self._builder = None
            self._finished.append(JobOutput(self._names[-1], file))

    def finish(self) -> tuple[JobOutput, ...]:
        """Finish the last table; returns all of them."""
        self.cut()
        return tuple(self._finished)

    def abandon(self) -> None:
        """Remove everything that this attempt wrote."""
        if self._builder is not None:
            self._builder.abandon()
            self._builder = None
        for output in self._finished:
            # A file that cannot be removed is named by nobody: the next open of the store removes it.
            with suppress(StorageError, FileNotFoundError):
                self._fs.unlink(output.temporary_name)
        self._finished.clear()

    def _create(self) -> TableBuilder:
        request = self._request
        if not self._names:
            self._fs.make_directory(TMP_DIRECTORY)
        name = job_output_name(request.epoch, request.job, request.attempt, len(self._names))
        builder = create_table(self._fs, name, request.options, unique_id=self._new_unique_id(), grant=self._grant)
        self._names.append(name)
        return builder
