"""Micro-benchmarks of the write side's steps: encode a frame, append it to the log, put it into the memtable, decode.

python -m lsmproc.bench.micro_log [--records 100000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from zlib import crc32

from lsmproc.bench.records import RecordMaker
from lsmproc.bench.settings import Settings
from lsmproc.formats.frame_decoding import decode_frames
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    KIND_WAL,
    LogHeader,
    batch_body,
    chain_seed,
    encode_header,
    frame,
    put_body,
)
from lsmproc.memtable.dict_memtable import DictMemtable
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.storage.mapped_wal import MappedWal
from lsmproc.storage.wal_writer import PwriteWal

_BATCH = 100
_STORE_UUID = bytes(16)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print microseconds per record, the best of a few rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    count = options.records
    maker = RecordMaker(Settings(num=count), seed=1)
    records = maker.records(maker.shuffled())

    def report(name: str, run: Callable[[], object]) -> None:
        best = min(_timed(run) for _ in range(options.rounds))
        print(f"{name:44s} {1e6 * best / count:9.3f} us/record", flush=True)

    report("frame: body of a put", lambda: [put_body(7, key, value) for key, value in records])
    bodies = [put_body(number, key, value) for number, (key, value) in enumerate(records)]
    report("frame: checksum and head", lambda: [frame(crc32(body, 1), body) for body in bodies])
    cut = [records[at : at + _BATCH] for at in range(0, count, _BATCH)]
    keys: list[list[bytes]] = [[key for key, _ in batch] for batch in cut]
    values: list[list[bytes | None]] = [[value for _, value in batch] for batch in cut]
    report(f"frame: body of a batch of {_BATCH}", lambda: list(map(batch_body, range(len(keys)), keys, values)))
    report("memtable: put", lambda: _fill_memtable(records))
    for kind in (PwriteWal, MappedWal):
        report(f"append to the log ({kind.__name__})", partial(_append_all, kind, bodies))
    log = _chained(bodies)
    report("decode frames (recovery, flush)", lambda: decode_frames(log, _seed()))


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _fill_memtable(records: list[tuple[bytes, bytes]]) -> None:
    entries = DictMemtable().entries
    for key, value in records:
        entries[key] = (7, value)


def _append_all(kind: type[PwriteWal | MappedWal], bodies: list[bytes]) -> None:
    """Into a new segment; its making is a small part of it."""
    with tempfile.TemporaryDirectory(prefix="lsmproc-bench-") as directory:
        fs = PosixFileSystem(directory)
        size = sum(map(len, bodies)) + 8 * len(bodies) + HEADER_SIZE
        wal = kind(fs, 1, size)
        wal.begin(_header(), 0)
        append = wal.append
        for number, body in enumerate(bodies, 1):
            append(body, number)
        wal.close()
        fs.shut()


def _header() -> LogHeader:
    return LogHeader(KIND_WAL, _STORE_UUID, 1, 1)


def _seed() -> int:
    return chain_seed(encode_header(_header()))


def _chained(bodies: list[bytes]) -> bytes:
    checksum, frames = _seed(), []
    for body in bodies:
        checksum = crc32(body, checksum)
        frames.append(frame(checksum, body))
    return b"".join(frames)


if __name__ == "__main__":
    main()
