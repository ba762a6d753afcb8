"""What is done to a store, under db_bench's and YCSB's names: the table of all workloads."""

from __future__ import annotations

from lsmproc.bench.workloads.mixed import MIXED
from lsmproc.bench.workloads.openings import OPENINGS
from lsmproc.bench.workloads.reads import READS
from lsmproc.bench.workloads.work import Workload
from lsmproc.bench.workloads.writes import WRITES

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*WRITES, *READS, *OPENINGS, *MIXED)}


def what(name: str) -> str:
    """What a workload does; saved results may hold one that is no more."""
    return WORKLOADS[name].what if name in WORKLOADS else "(no workload of this version)"
