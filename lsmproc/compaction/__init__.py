"""Flush and compaction: what to merge (pickers) and how (jobs). Plain functions, no process and no queue."""
