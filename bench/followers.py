"""How reads add up over followers, and what looking for news costs: ``python -m bench.followers``.

One process fills a store of 200,000 records and keeps it open; then one follower, and two at once, read random keys. On
a machine with other things to do, wall time says more about those: so the ratio is given in CPU time as well, as what
two followers would read on two cores of their own. ``chrt -f 1 python -m bench.followers`` measures past the others.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lsmproc

RECORDS = 200_000
READS = 150_000
_KEY = b"key %012d"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="where the store is made")
    parser.add_argument("--rounds", type=int, default=3, help="of one follower and two in turn; the medians count")
    parser.add_argument("--read", nargs=2, metavar=("PATH", "MODE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        _read(*arguments.read)
        return
    directory = tempfile.TemporaryDirectory(dir=arguments.directory)
    with directory as path, lsmproc.open(path, background="thread") as owner:
        for number in range(RECORDS):
            owner.put(_KEY % number, b"v" * 100)
        owner.compact_range()
        for mode in ("interval", "read"):
            _compare(path, mode, arguments.rounds)


def _compare(path: str, mode: str, rounds: int) -> None:
    results = {count: [_run(path, mode, count) for _ in range(rounds)] for count in (1, 2)}
    rates = {count: statistics.median(rate for rate, _ in each) for count, each in results.items()}
    costs = {count: statistics.median(cost for _, cost in each) for count, each in results.items()}
    print(f'refresh="{mode}", {READS:,} random reads each')
    print(f"  one follower   {rates[1]:>10,.0f} reads/s  {costs[1]:.2f} us of CPU for each")
    print(f"  two followers  {rates[2]:>10,.0f} reads/s  {costs[2]:.2f} us of CPU for each")
    print(f"  two give {rates[2] / rates[1]:.2f}x by the clock, {2 * costs[1] / costs[2]:.2f}x by CPU time")


def _run(path: str, mode: str, count: int) -> tuple[float, float]:
    """Reads per second of all followers together, and microseconds of CPU for each read."""
    command = [sys.executable, "-m", "bench.followers", "--read", path, mode]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    readers = [subprocess.Popen(command, env=os.environ, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for reader in readers:
        reader.stdin.write("go\n")
        reader.stdin.flush()
    seconds = [json.loads(reader.stdout.readline()) for reader in readers]
    taken = time.perf_counter() - began
    for reader in readers:
        reader.communicate(timeout=20)
    return count * READS / taken, statistics.mean(seconds) / READS * 1e6


def _read(path: str, mode: str) -> None:
    """One follower: read when told to, and print how much CPU time that took."""
    chance = random.Random(os.getpid())
    keys = [_KEY % chance.randrange(RECORDS) for _ in range(READS)]
    with lsmproc.open_follower(path, refresh=mode) as follower:  # type: ignore[arg-type]
        for key in keys[: READS // 5]:
            follower.get(key)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        for key in keys:
            follower.get(key)
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
