"""A tree whose tables are dicts: everything the pickers may break, without a disk.

Merges here trust the order of the runs and nothing else, and drop tombstones as a worker would, so a picker that
lets an older record overtake a newer one is found out by the next read.
"""

from __future__ import annotations

from random import Random

from lsmproc.compaction.compaction import Compaction
from lsmproc.compaction.key_ranges import ranges_below, split
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.protocols import CompactionPicker
from lsmproc.storage.version import Version

RECORD_BYTES = 10
TABLE_RECORDS = 8  # where the outputs of a merge are cut
TABLE_BYTES = TABLE_RECORDS * RECORD_BYTES

Records = dict[bytes, tuple[int, bool]]  # key to (sequence, is a tombstone)


class SimulatedTree:
    """A version, the content of its tables, what is running, and the truth to compare with."""

    def __init__(self, picker: CompactionPicker, random: Random) -> None:
        """Start empty."""
        self.picker = picker
        self.random = random
        self.version = Version()
        self.tables: dict[int, Records] = {}
        self.truth: Records = {}
        self.running: list[tuple[Compaction, tuple[tuple[bytes, bytes], ...]]] = []
        self.picks: list[Compaction] = []

    def flush(self, keys: list[bytes]) -> None:
        """Install a new table in level 0; a third of the records are tombstones."""
        sequence = self.version.last_sequence
        records: Records = {}
        for key in sorted(set(keys)):
            sequence += 1
            records[key] = (sequence, self.random.random() < 1 / 3)
        self.truth.update(records)
        number = self.version.next_file_number
        edit = VersionEdit(
            added=((0, self._described(number, records)),), next_file_number=number + 1, last_sequence=sequence
        )
        self.version = self.version.apply(edit)

    def start(self) -> bool:
        """Pick one more compaction and leave it running; a move is done at once. False if there was none."""
        picked = self.picker.pick(self.version, [compaction for compaction, _ in self.running])
        if picked is None and not self.running:
            picked = self.picker.pick_idle(self.version, self.random.choice((0, 0, 10 * TABLE_BYTES)))
        if picked is None:
            return False
        self.begin(picked)
        return True

    def begin(self, picked: Compaction) -> None:
        """Check that ``picked`` may run beside the others and let it."""
        taken = {file.number for compaction, _ in self.running for _, file in compaction.files}
        assert taken.isdisjoint(file.number for _, file in picked.files)
        for level, file in picked.files:
            assert file in self.version.levels[level]
        level0 = [self.version.levels[0].index(file) for level, file in picked.files if level == 0]
        assert level0 == sorted(level0) or picked.trivial_move, "runs are given newest first"
        if picked.output_level == 0:
            assert level0 == list(range(level0[0], level0[0] + len(level0))), "neighbours in age"
            assert len(level0) == len(picked.files) > 1
        self.picks.append(picked)
        self.running.append((picked, ranges_below(self.version, picked)))
        if picked.trivial_move:
            self.finish(len(self.running) - 1)

    def finish(self, index: int) -> None:
        """Apply the edit of a running compaction."""
        compaction, below = self.running.pop(index)
        added = []
        number = self.version.next_file_number
        if compaction.trivial_move:
            assert len(compaction.inputs) == 1
            added = [(compaction.output_level, file) for _, file in compaction.files]
        else:
            for records in self._merged(compaction, below):
                added.append((compaction.output_level, self._described(number, records)))
                number += 1
        removed = tuple((level, file.number) for level, file in compaction.files)
        self.version = self.version.apply(VersionEdit(tuple(added), removed, next_file_number=number))

    def abandon(self, index: int) -> None:
        """A running compaction failed for good: nothing changes."""
        del self.running[index]

    def settle(self) -> None:
        """Run compactions one after the other until the picker wants no more."""
        for _ in range(10_000):
            while self.running:
                self.finish(0)
            if not self.start():
                return
        raise AssertionError("the picker never has enough")

    def check(self) -> None:
        """Each key reads as it was last written; Version itself has checked that levels do not overlap."""
        sequences = [file.largest_sequence for file in self.version.levels[0]]
        assert sequences == sorted(sequences, reverse=True)
        seen: Records = {}
        for level in reversed(self.version.levels):
            for file in reversed(level):
                for key, record in self.tables[file.number].items():
                    assert key not in seen or seen[key][0] < record[0], f"{key!r} stands above a newer record"
                    seen[key] = record
        for key, record in self.truth.items():
            found = seen.get(key)
            assert found == record or (found is None and record[1]), f"{key!r}: {found} instead of {record}"

    def _described(self, number: int, records: Records) -> FileMetadata:
        self.tables[number] = records
        sequences = [sequence for sequence, _ in records.values()]
        size = len(records) * RECORD_BYTES
        tombstones = sum(is_tombstone for _, is_tombstone in records.values())
        smallest, *_, largest = (*records, *records)
        return FileMetadata(
            number, size, 0, 0, smallest, largest, len(records), tombstones, min(sequences), max(sequences), size
        )

    def _merged(self, compaction: Compaction, below: tuple[tuple[bytes, bytes], ...]) -> list[Records]:
        """The outputs: cut at the table size and at the ranges of several processes, or one table for level 0."""
        merged: Records = {}
        for run in reversed(compaction.runs):
            for file in run:
                merged.update(self.tables[file.number])
        outputs = []
        for start, stop in split(compaction, self.random.randint(1, 3), TABLE_BYTES):
            part = [
                (key, merged[key])
                for key in sorted(merged)
                if (start is None or key >= start) and (stop is None or key < stop)
                if not merged[key][1] or any(smallest <= key <= largest for smallest, largest in below)
            ]
            step = TABLE_RECORDS if compaction.output_level else max(len(part), 1)
            outputs += [dict(part[index : index + step]) for index in range(0, len(part), step)]
        return outputs
