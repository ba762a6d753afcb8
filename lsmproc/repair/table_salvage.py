"""The records of all tables that check, as few ascending runs, and the key ranges of what does not check.

Tables whose key ranges do not meet are read one after the other as one run, so a store of any size is merged from as
many runs as its tables overlap at most. What a run has in memory at a time is a share of a fixed budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lsmproc.formats.file_names import table_name
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.repair.report import Loss, RepairReport
from lsmproc.repair.surviving_files import SurvivingFiles
from lsmproc.repair.table_scan import Columns, ScannedBlock, TableScan
from lsmproc.storage.file_system import FileSystem

_WINDOWS_BYTES = 64 << 20  # for all runs together, in stored bytes
_WINDOW_BYTES = 256 << 10
_WINDOW_RECORDS = 1024
_LARGEST_LIST = 100  # damaged stretches of one table that are listed one by one


@dataclass(frozen=True, slots=True)
class SoundTable:
    """A table of which something can be read."""

    fs: FileSystem
    name: str
    metadata: FileMetadata | None
    smallest: bytes | None
    largest: bytes | None


class TableSalvage:
    """Reads the tables that count."""

    def __init__(self, fs: FileSystem, files: SurvivingFiles, report: RepairReport) -> None:
        """Read ``files.tables``; what is lost goes into ``report``."""
        self._fs = fs
        self._files = files
        self._report = report
        self._by_id: dict[int, str] | None = None
        self.last_sequence: int = 0

    def tables(self) -> list[SoundTable]:
        """The tables of which something can be read; the others are in the report as lost. Raises StorageError."""
        found = [self._located(number, metadata) for number, metadata in self._files.tables]
        return [table for table in found if table is not None]

    def run(self, tables: list[SoundTable], window_bytes: int, on_read: Callable[[int], None]) -> Iterator[Columns]:
        """The records of tables that do not overlap, ascending, in windows. Raises StorageError."""
        for table in tables:
            with TableScan(table.fs, table.name, table.metadata) as scan:
                yield from _windows(self._sound_blocks(scan, table), window_bytes)
                on_read(scan.size)

    def _located(self, number: int, metadata: FileMetadata | None) -> SoundTable | None:
        """The file that holds the table, which may have another's name."""
        name = table_name(number)
        try:
            scan = TableScan(self._fs, name, metadata)
        except FileNotFoundError:
            misplaced = self._misplaced(metadata)
            if misplaced is None:
                perhaps = "" if self._files.whole else ", unless it was merged away after the damage"
                self._lose_table(name, metadata, f"the table is missing{perhaps}")
            return misplaced
        with scan:
            if metadata is not None and scan.footer is not None and scan.footer.unique_id != metadata.unique_id:
                misplaced = self._misplaced(metadata)
                if self._files.whole:
                    if misplaced is None:
                        self._lose_table(name, metadata, "the file holds another table than the manifest says")
                    return misplaced
                self._report.notes.append(f"{name} holds another table than a manifest says")
                metadata = None
            if scan.unique_id is None:
                self._lose_table(name, metadata, "nothing in the file proves which table it is, so nothing checks")
                return None
            said = metadata or scan.properties
            bounds = (None, None) if said is None else (said.smallest, said.largest)
            return SoundTable(self._fs, name, metadata, *bounds)

    def _misplaced(self, metadata: FileMetadata | None) -> SoundTable | None:
        """The table under another name, if some file's sound footer has its unique id."""
        if metadata is None:
            return None
        if self._by_id is None:
            self._by_id = {}
            for number in {number for number, _ in self._files.tables} | set(self._files.others):
                try:
                    with TableScan(self._fs, table_name(number)) as scan:
                        if scan.footer is not None:
                            self._by_id[scan.footer.unique_id] = scan.name
                except FileNotFoundError:
                    continue  # It is looked for itself.
        name = self._by_id.get(metadata.unique_id)
        if name is None:
            return None
        self._report.notes.append(f"{name} holds the table {table_name(metadata.number)}: the file has the wrong name")
        return SoundTable(self._fs, name, metadata, metadata.smallest, metadata.largest)

    def _sound_blocks(self, scan: TableScan, table: SoundTable) -> Iterator[Columns]:
        """The sound blocks of one table; the others, and what they held, go into the report."""
        lost: list[Loss] = []
        entries = tombstones = 0
        smallest = table.smallest
        for block in scan.blocks():
            columns = block.columns
            if columns is None:
                _add_stretch(lost, scan.name, block, smallest)
                smallest = smallest if block.fence is None else block.fence + b"\0"
                continue
            if lost and lost[-1].largest is None:
                lost[-1] = replace(lost[-1], largest=columns.keys[0])
            entries += len(columns.keys)
            tombstones += columns.values.count(None)
            smallest = columns.keys[-1] + b"\0"
            self.last_sequence = max(self.last_sequence, *columns.sequences)
            yield columns
        if table.fs is not self._fs:
            return  # A table of the repair's own.
        self._report.tables += 1
        self._report.table_records += entries
        if lost and lost[-1].largest is None:
            lost[-1] = replace(lost[-1], largest=table.largest)
        self._account(scan, table, lost, entries, tombstones)
        notes = [f"{scan.name} at byte {finding.offset}: {finding.message}" for finding in scan.findings]
        filter_problem = scan.filter_problem()
        self._report.notes += notes + ([f"{scan.name}: filter: {filter_problem}"] if filter_problem else [])

    def _account(self, scan: TableScan, table: SoundTable, lost: list[Loss], entries: int, tombstones: int) -> None:
        """Compare with what the table says that it holds."""
        said = table.metadata or scan.properties
        missing = None if said is None else said.entries - entries
        if missing and not lost:
            lost.append(
                Loss(scan.name, None, None, table.smallest, table.largest, missing, None, "records are missing")
            )
        if missing == 0:
            # What does not check held no records: all that the table says it had are there.
            self._report.notes += [f"{loss.place}: {loss.reason}" for loss in lost]
            return
        if not lost:
            return
        lost_tombstones = None if said is None else said.tombstones - tombstones
        known = missing if len(lost) == 1 else None
        self._report.losses += [replace(loss, records=known, tombstones=lost_tombstones) for loss in lost]
        if lost_tombstones != 0:
            self._doubt(scan.name, lost_tombstones)

    def _lose_table(self, name: str, metadata: FileMetadata | None, reason: str) -> None:
        if metadata is None:
            self._report.losses.append(Loss(name, None, None, None, None, None, None, reason))
            self._doubt(name, None)
            return
        loss = Loss(
            name,
            None,
            metadata.size,
            metadata.smallest,
            metadata.largest,
            metadata.entries,
            metadata.tombstones,
            reason,
        )
        self._report.losses.append(loss)
        if metadata.tombstones:
            self._doubt(name, metadata.tombstones)

    def _doubt(self, name: str, tombstones: int | None) -> None:
        many = "an unknown number of deletions" if tombstones is None else f"{tombstones} deletions at most"
        self._report.doubts.append(f"{name}: {many} are lost with it: keys that they deleted may be back")


def disjoint_runs(tables: list[SoundTable]) -> list[list[SoundTable]]:
    """The tables as as few groups as can be whose key ranges do not meet, each in key order."""
    runs: list[list[SoundTable]] = [[table] for table in tables if table.smallest is None]
    known = [table for table in tables if table.smallest is not None]
    open_runs: list[list[SoundTable]] = []
    for table in sorted(known, key=lambda table: table.smallest or b""):
        for run in open_runs:
            largest = run[-1].largest
            if largest is not None and table.smallest is not None and largest < table.smallest:
                run.append(table)
                break
        else:
            open_runs.append([table])
    return runs + open_runs


def window_bytes_of(run_count: int) -> int:
    """Stored bytes that each of so many runs may read at a time; a block at least is read whatever this says."""
    return min(_WINDOW_BYTES, _WINDOWS_BYTES // max(1, run_count))


def _windows(blocks: Iterator[Columns], window_bytes: int) -> Iterator[Columns]:
    """Blocks joined to windows that are worth a step of the merge."""
    keys: list[bytes] = []
    values: list[bytes | None] = []
    sequences: list[int] = []
    size = 0
    for block in blocks:
        keys += block.keys
        values += block.values
        sequences += block.sequences
        size += sum(map(len, block.keys)) + sum(len(value) for value in block.values if value is not None)
        if len(keys) >= _WINDOW_RECORDS or size >= window_bytes:
            yield Columns(keys, values, sequences)
            keys, values, sequences, size = [], [], [], 0
    if keys:
        yield Columns(keys, values, sequences)


def _add_stretch(lost: list[Loss], name: str, block: ScannedBlock, smallest: bytes | None) -> None:
    """Enter a damaged block, as one stretch with the damaged one before it if they touch."""
    before = lost[-1] if lost else None
    touches = before is not None and before.offset is not None and before.size is not None
    if before is not None and (
        (touches and (before.offset or 0) + (before.size or 0) == block.offset and before.reason == block.problem)
        or len(lost) >= _LARGEST_LIST
    ):
        size = block.offset + block.size - (before.offset or 0)
        lost[-1] = replace(before, size=size, largest=block.fence)
        return
    lost.append(Loss(name, block.offset, block.size, smallest, block.fence, None, None, block.problem))
