"""What flush and compaction jobs have in common with whoever runs them."""

from __future__ import annotations


class JobCancelled(Exception):  # noqa: N818 - it is no error: nobody wants the job's result any more.
    """Raised by ``grant`` to make a job stop: it removes its outputs and lets this pass."""
