"""What is told of a compaction when it begins and when its outputs have taken the place of its inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsmproc.events.event import CompactionBegun, CompactionFinished

if TYPE_CHECKING:
    from lsmproc.compaction.compaction import Compaction
    from lsmproc.formats.messages import JobCost
    from lsmproc.formats.version_edit import FileMetadata


def compaction_begun(job: int, parts: int, compaction: Compaction, *, manual: bool) -> CompactionBegun:
    """The event of a compaction that was handed to workers in so many parts."""
    return CompactionBegun(
        job=job,
        parts=parts,
        input_levels=_levels(compaction),
        output_level=compaction.output_level,
        inputs=tuple(file.number for _, file in compaction.files),
        bytes=compaction.input_bytes,
        reason=compaction.reason,
        manual=manual,
    )


def compaction_finished(
    job: int, compaction: Compaction, files: Sequence[FileMetadata], costs: Sequence[JobCost]
) -> CompactionFinished:
    """The event of a compaction whose outputs are part of the store; ``costs`` are those of its parts."""
    return CompactionFinished(
        job=job,
        input_levels=_levels(compaction),
        output_level=compaction.output_level,
        inputs=tuple(file.number for _, file in compaction.files),
        tables=tuple(file.number for file in files),
        records_read=sum(cost.records_read for cost in costs),
        records_written=sum(cost.records_written for cost in costs),
        bytes_read=sum(cost.bytes_read for cost in costs),
        bytes_written=sum(cost.bytes_written for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        worker_pids=tuple(sorted({cost.pid or os.getpid() for cost in costs})),
        reason=compaction.reason,
    )


def _levels(compaction: Compaction) -> tuple[int, ...]:
    return tuple(sorted({level for level, _ in compaction.inputs}))
