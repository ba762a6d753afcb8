"""Compares the records of a store with the files that they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from lsmproc.cli.demo.input_lines import InputFile

if TYPE_CHECKING:
    from lsmproc.store import LSMStore


_BATCH_RECORDS = 10_000


@dataclass(slots=True)
class Comparison:
    """How a store stands against the first records of a load."""

    correct: int = 0  # of the expected records
    missing: int = 0
    wrong: int = 0  # there, with another value
    beyond: int = 0  # right, but after the last expected one
    foreign: int = 0  # keys that no line has


def compare(
    db: LSMStore, files: Sequence[InputFile], expected: int, on_progress: Callable[[int, int | None], None]
) -> Comparison:
    """Compare every record of ``db`` with the lines of ``files`` in load order; the first ``expected`` count."""
    result = Comparison()
    done = 0
    for file in files:
        count = min(file.lines, max(0, expected - done))
        if count == file.lines and _equal(_stored(db, file), file.records()):
            result.correct += count
        else:
            _compare_each(dict(_stored(db, file)), file, count, result)
        done += file.lines
        on_progress(min(done, expected), expected)
    known = result.correct + result.wrong + result.beyond
    result.foreign = sum(map(len, _batches(db.range(fill_cache=False)))) - known
    return result


def _stored(db: LSMStore, file: InputFile) -> Iterator[tuple[bytes, bytes]]:
    return db.range(file.key(1), file.key(file.lines + 1), fill_cache=False)


def _equal(left: Iterator[tuple[bytes, bytes]], right: Iterator[tuple[bytes, bytes]]) -> bool:
    return all(a == b for a, b in zip_longest(_batches(left), _batches(right)))


def _batches(records: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    while batch := list(islice(records, _BATCH_RECORDS)):
        yield batch


def _compare_each(stored: dict[bytes, bytes], file: InputFile, count: int, result: Comparison) -> None:
    """Look at each record on its own: where the load stopped, or where something does not fit."""
    for number, (key, value) in enumerate(file.records(), 1):
        found = stored.get(key)
        if number > count:
            result.beyond += found == value
        elif found is None:
            result.missing += 1
        elif found == value:
            result.correct += 1
        else:
            result.wrong += 1
