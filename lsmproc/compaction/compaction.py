"""A compaction: the decision of a picker, before anybody carries it out."""

from __future__ import annotations

from dataclasses import dataclass

from lsmproc.formats.version_edit import FileMetadata


@dataclass(frozen=True, slots=True)
class Compaction:
    """Which tables to merge, and into which level.

    A trivial move has one run and changes only the level of its tables: nothing is read or written.
    """

    inputs: tuple[tuple[int, tuple[FileMetadata, ...]], ...]  # (level, run), newest run first; a run is ascending
    output_level: int
    reason: str  # for people: "L0 has 5 runs", "manual", ...
    score: float
    trivial_move: bool = False
    idle: bool = False  # picked while nothing was to do: it steps back behind everything else

    @property
    def files(self) -> tuple[tuple[int, FileMetadata], ...]:
        """All inputs as (level, file)."""
        return tuple((level, file) for level, run in self.inputs for file in run)

    @property
    def runs(self) -> tuple[tuple[FileMetadata, ...], ...]:
        """The inputs without their levels, newest run first."""
        return tuple(run for _, run in self.inputs)

    @property
    def input_bytes(self) -> int:
        """Bytes of all inputs."""
        return sum(file.size for _, file in self.files)
