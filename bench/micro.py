"""``lsmproc bench micro``: runs the micro-benchmarks, ``micro_<name>.py``, each in a process of its own.

They time the inner steps, so that a slow-down seen in a workload has an address.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lsmproc.bench.child import command, environment
from lsmproc.bench.errors import OptionError

_HERE = Path(__file__).parent
_PREFIX = "micro_"


def names() -> list[str]:
    """The micro-benchmarks there are."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in _HERE.glob(f"{_PREFIX}*.py"))


def run_micro(text: str | None, options: Sequence[str] = ()) -> int:
    """Run those with this text in their names, or all; the first exit status that is not 0. Raises OptionError."""
    wanted = [name for name in names() if text is None or text in name]
    if not wanted:
        raise OptionError(f"--only {text}: there is no such micro-benchmark; choose from {', '.join(names())}")
    status = 0
    for name in wanted:
        print(f"--- {name}", flush=True)
        done = subprocess.run(command(f"{_PREFIX}{name}", *options), env=environment(), check=False)
        status = status or done.returncode
    return status
