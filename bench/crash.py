"""``python -m lsmproc.bench.crash``: writes records into a store and kills itself: the next open finds a full log.

The job is a JSON object on standard input: system, directory, settings, count.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings
from lsmproc.bench.systems import opener
from lsmproc.bench.systems.system import StoreOptions


def main() -> None:
    """Write and die."""
    job = json.load(sys.stdin)
    settings = Settings.from_json_dict(job["settings"])
    system = opener(job["system"])(job["directory"], StoreOptions.of(settings))
    maker = RecordMaker(settings, settings.seed)
    for key, value in maker.records(maker.shuffled()[: job["count"]]):
        system.put(key, value)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
