"""Draws the picture of ``lsmproc top`` that the README shows: a store under load, from its status page, as SVG.

Run it in the checkout: ``python docs/top_picture.py docs/top.svg``. It takes about ten seconds and needs rich.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path

from rich.console import Console

import lsmproc
from lsmproc.cli.top.screen import rich_text
from lsmproc.cli.top.view import view_of
from lsmproc.monitoring.store_status import read_status

WIDTH = 118
LOAD_SECONDS = 9.0
KEYS = 300_000

OPTIONS = {
    "memtable_max_bytes": "1MiB",
    "sstable_max_bytes": "1MiB",
    "level_base_bytes": "4MiB",
    "level0_compaction_trigger": 3,
    "level0_slowdown_writes_trigger": 6,
    "rate_limit_bytes_per_sec": "4MiB/s",
    "block_cache_bytes": "4MiB",
}


def main() -> None:
    """Load a store, kill one worker, and write the picture while the load goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "sessions")
        with lsmproc.open(path, **OPTIONS) as db:
            _load(db)
            status = read_status(path)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(rich_text(view_of(status, WIDTH)), no_wrap=True, overflow="ellipsis")
    svg = console.export_svg(title="lsmproc top /data/sessions").replace(directory, "/data")
    # No font is fetched: the viewer's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE))


def _load(db: lsmproc.LSMStore) -> None:
    chance, end, killed = random.Random(7), time.monotonic() + LOAD_SECONDS, False
    while time.monotonic() < end:
        for _ in range(200):
            db.put(b"%012d" % chance.randrange(KEYS), chance.randbytes(50) * 2)
            db.get(b"%012d" % chance.randrange(KEYS))
        if not killed and end - time.monotonic() < 3.0:
            busy = [worker.pid for worker in db.stats().workers if worker.kind == "compaction" and worker.pid]
            killed = bool(busy)
            for pid in busy[:1]:
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
