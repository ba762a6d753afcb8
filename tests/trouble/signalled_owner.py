"""A program that writes to a store until a signal ends it: what it has acknowledged, it says on its standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import count
from random import Random

import lsmproc
from tests.trouble.ledger import SMALL

ACKNOWLEDGED_EVERY = 10


def records() -> Iterator[tuple[bytes, bytes]]:
    """What is written, in order: always the same, and each key once."""
    random = Random(41)
    for number in count():
        yield b"key %06d" % (number * 7919 % 1_000_003), random.randbytes(random.randrange(50, 1500))


def main() -> None:
    """Write for ever; after KeyboardInterrupt, close and say how many writes have returned."""
    written = 0
    with lsmproc.open(sys.argv[1], **SMALL) as db:
        try:
            for key, value in records():
                db.put(key, value)
                written += 1
                if written % ACKNOWLEDGED_EVERY == 0:
                    os.write(1, b"%d\n" % written)
        except KeyboardInterrupt:
            os.write(1, b"interrupted\n%d\n" % written)


if __name__ == "__main__":
    main()
