"""What the system is told about a worker process: how it shares CPUs and disks with other processes.

The owner tells it, of a process that has just started and of one that runs, so that a change needs no restart.
Niceness is the exception: only a privileged owner may lower that of a process that has stepped back. Then the workers
are replaced, each after its job.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

_IO_CLASSES = {"normal": ("IOPRIO_CLASS_NONE", 0), "low": ("IOPRIO_CLASS_BE", 7), "idle": ("IOPRIO_CLASS_IDLE", 0)}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where workers of one kind stand beside other processes."""

    niceness: int = 0  # on top of the owner's own
    io_priority: str = "normal"  # "normal", "low" or "idle"
    cpus: tuple[int, ...] | None = None  # None: those of the owner

    def apply(self, pid: int) -> bool:
        """Tell the system of the process ``pid``; False if it may not be as nice as asked for without a new process.

        What the system does not know or refuses is logged: a worker in the wrong place works all the same.
        """
        try:
            if self.cpus is not None or os.sched_getaffinity(pid) != os.sched_getaffinity(0):
                os.sched_setaffinity(pid, self.cpus or os.sched_getaffinity(0))
        except ProcessLookupError:
            return True  # Its end is noticed elsewhere.
        except (OSError, AttributeError) as error:
            _log(pid, f"CPUs {self.cpus}", error)
        self._set_io_priority(pid)
        wanted = os.nice(0) + self.niceness
        try:
            if os.getpriority(os.PRIO_PROCESS, pid) != min(wanted, 19):
                os.setpriority(os.PRIO_PROCESS, pid, wanted)
        except PermissionError:
            return False
        except OSError as error:
            _log(pid, f"niceness {self.niceness}", error)
        return True

    def _set_io_priority(self, pid: int) -> None:
        import psutil  # noqa: PLC0415 - 20 ms, and not before a worker has started

        name, value = _IO_CLASSES[self.io_priority]
        try:
            process = psutil.Process(pid)
            if process.ionice().ioclass != getattr(psutil, name) or value:
                process.ionice(getattr(psutil, name), value)
        except psutil.NoSuchProcess:
            return
        except (psutil.Error, OSError, AttributeError) as error:
            _log(pid, f"io priority {self.io_priority!r}", error)


def _log(pid: int, what: str, error: Exception) -> None:
    logging.getLogger("lsmproc.workers").warning("worker process %d cannot be given %s: %s", pid, what, error)
