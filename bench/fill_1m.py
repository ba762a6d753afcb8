"""``python -m lsmproc.bench.fill_1m``: the loading promise, on one screen.

1,000,000 puts in random order, 16-byte keys, 100-byte values, every system with its default options and no sync:
the put loop at least as fast as plyvel's in the same run, resident memory of the owner below 500 MB, worst single
put below 100 ms. The exit status says whether all three hold. ``--num`` makes it shorter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from lsmproc.bench.settings import RECORD_COUNT, Settings
from lsmproc.bench.summary import BY_NAME, Summary
from lsmproc.bench.systems import OURS, installed
from lsmproc.bench.table import report
from lsmproc.bench.table_run import measure, new_run

_NUM = 10 * RECORD_COUNT
_WORKLOAD = "fillrandom"
_PEER = "plyvel"
_OWNER_BYTES = 500_000_000
_WORST_MICROSECONDS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m lsmproc.bench.fill_1m", description=__doc__)
    parser.add_argument("--num", type=int, default=_NUM)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    systems = [name for name in (OURS, _PEER, "rocksdict") if installed(name)]
    run = measure(new_run(Settings(num=options.num, defaults=True)), systems, [_WORKLOAD], options.rounds)
    if run["failed"]:
        print(*run["failed"], sep="\n", file=sys.stderr)
        return 1
    summary = Summary(run["results"])
    print(report(run, summary) + "\n")
    kept = True
    for promise, holds in judge(summary):
        kept &= holds
        print(f"{'yes' if holds else 'NO ':3} {promise}")
    return 0 if kept else 1


def judge(summary: Summary) -> Iterator[tuple[str, bool]]:
    """Each promise with its figure, and whether it holds."""
    ratio = summary.ratio(_WORKLOAD, _PEER, BY_NAME["rate"])
    if ratio is not None:
        yield f"puts returned {ratio:.2f} times as fast as {_PEER}'s; promised: 1.00", ratio >= 1
    owner = summary.spread(_WORKLOAD, OURS, BY_NAME["owner"])
    if owner is not None:
        yield f"owner's resident memory at most {owner.high / 1e6:.0f} MB; promised: 500", owner.high < _OWNER_BYTES
    worst = summary.spread(_WORKLOAD, OURS, BY_NAME["worst"])
    if worst is not None:
        yield f"worst put of all rounds {worst.high / 1e3:.1f} ms; promised: 100", worst.high < _WORST_MICROSECONDS


if __name__ == "__main__":
    sys.exit(main())
