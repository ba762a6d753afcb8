"""The newest records, in memory, and the budget that the memtables of several stores share."""
