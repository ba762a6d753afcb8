"""``python -m bench.micro [NAME ...]``: runs the micro-benchmarks, ``micro_<name>.py``, each in a process of its own.

They time the inner steps, so that a slow-down seen in a workload has an address. Options after ``--`` go to each.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lsmproc.bench.child import command, environment

_HERE = Path(__file__).parent
_PREFIX = "micro_"


def names() -> list[str]:
    """The micro-benchmarks there are."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in _HERE.glob(f"{_PREFIX}*.py"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run those that are named, or all; the first exit status that is not 0."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    split = given.index("--") if "--" in given else len(given)
    wanted, passed_on = given[:split] or names(), given[split + 1 :]
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"there is no micro-benchmark {', '.join(unknown)}; choose from {', '.join(names())}", file=sys.stderr)
        return 2
    status = 0
    for name in wanted:
        print(f"--- {name}", flush=True)
        done = subprocess.run(command(f"{_PREFIX}{name}", *passed_on), env=environment(), check=False)
        status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
