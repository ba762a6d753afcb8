"""What is done to a store, under db_bench's and YCSB's names: the table of all workloads."""

from __future__ import annotations

from bench.workloads.mixed import MIXED
from bench.workloads.openings import OPENINGS
from bench.workloads.reads import READS
from bench.workloads.work import Workload
from bench.workloads.writes import WRITES

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*WRITES, *READS, *OPENINGS, *MIXED)}
