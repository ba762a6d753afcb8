"""The newest records, in memory."""
