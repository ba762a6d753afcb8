"""What a repair kept, what it lost, and what it cannot know."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of the old store that is not in the new one."""

    file: str
    offset: int | None  # None: the whole file
    size: int | None  # bytes; None where nobody knows
    smallest: bytes | None  # no lost key is smaller; None: no bound is known
    largest: bytes | None  # no lost key is larger; None: no bound is known
    records: int | None  # how many; None where nobody knows
    tombstones: int | None  # how many of them were deletions at most; None where nobody knows
    reason: str

    @property
    def place(self) -> str:
        """File and offset."""
        return self.file if self.offset is None else f"{self.file} at byte {self.offset}"


@dataclass(slots=True)
class RepairReport:
    """The outcome of a repair."""

    path: str
    into: str
    losses: list[Loss] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)  # why a deleted key or an older value may be back
    notes: list[str] = field(default_factory=list)  # damage that cost nothing, traces of a crash, files left out
    tables: int = 0  # tables that were read, at least in part
    table_records: int = 0  # sound records in them: also superseded ones and tombstones
    segments: int = 0  # log segments that were read, at least in part
    log_records: int = 0  # sound records in them
    records_written: int = 0  # records of the new store
    tombstones_honoured: int = 0  # keys that stay deleted because of a tombstone
    tables_written: int = 0
    bytes_read: int = 0

    @property
    def verdict(self) -> str:
        """One of "all kept" and "something lost"; a doubt counts as a loss."""
        return "something lost" if self.losses or self.doubts else "all kept"

    def to_json_dict(self) -> dict[str, object]:
        """The report as JSON; keys are hexadecimal digits."""
        losses = [
            {
                "file": loss.file,
                "offset": loss.offset,
                "bytes": loss.size,
                "smallest_hex": None if loss.smallest is None else loss.smallest.hex(),
                "largest_hex": None if loss.largest is None else loss.largest.hex(),
                "records": loss.records,
                "tombstones": loss.tombstones,
                "reason": loss.reason,
            }
            for loss in self.losses
        ]
        return {
            "path": self.path,
            "into": self.into,
            "verdict": self.verdict,
            "losses": losses,
            "doubts": self.doubts,
            "notes": self.notes,
            "tables": self.tables,
            "table_records": self.table_records,
            "segments": self.segments,
            "log_records": self.log_records,
            "records_written": self.records_written,
            "tombstones_honoured": self.tombstones_honoured,
            "tables_written": self.tables_written,
            "bytes_read": self.bytes_read,
        }
