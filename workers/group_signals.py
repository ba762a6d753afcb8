"""The signals that a terminal or a service manager sends to every process of a group, and how workers escape them.

Only the owner decides when a worker ends. A worker is born with these signals blocked, because it cannot ignore them
before it runs Python; then it ignores them for good.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

GROUP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@contextmanager
def group_signals_blocked() -> Iterator[None]:
    """Block the signals in this thread: a process that it starts inherits that."""
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def ignore_group_signals() -> None:
    """Ignore the signals in this process from now on, and those that waited. REQUIRES: the main thread."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
