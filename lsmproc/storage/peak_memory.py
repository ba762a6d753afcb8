"""The most memory that this process ever had."""

from __future__ import annotations

import resource
import sys

_STATUS = "/proc/self/status"
_PEAK = "VmHWM:"


def peak_memory_bytes() -> int:
    """The highest resident size of this process so far, in bytes.

    From the kernel's own page where there is one: what getrusage tells begins, after a vfork and an exec, at the size
    of the parent.
    """
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(_PEAK):
                    return int(line.split()[1]) << 10  # It says kB and means KiB.
    except (OSError, ValueError, IndexError):
        pass  # Another system, or a container that hides the page.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
