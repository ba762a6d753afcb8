"""Hostile messages, as a broken worker could send them, alone and in the framing of their pipe."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Callable
from random import Random

import msgpack

from lsmproc.formats.messages import (
    CompactionDone,
    CompactionRequest,
    FlushDone,
    FlushRequest,
    GrantRequest,
    JobCost,
    JobFailed,
    JobOutput,
    Message,
    SegmentEnd,
    Stop,
    TableOptions,
    decode_message,
    encode_message,
)
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.workers.fork_guard import fork_guard
from lsmproc.workers.message_queue import MessageReader, QueueEndedError
from tests.hostile.mutation import NUMBERS, changed_bytes, changed_tree, nested, packed

Case = Callable[[Random], bool]

FILE = FileMetadata(13, 4096, 1 << 63, 5, b"a", b"z", 35, 2, 1, 9, 4000)
COST = JobCost(10, 9, 8, 7, 0.5, 0.25, 4321, 1 << 33)
OUTPUTS = (JobOutput("tmp/3-1-2-0.sst", FILE),) * 3
MESSAGES: list[Message] = [
    FlushRequest(1, 2, "/d", bytes(16), 3, (SegmentEnd(4, 5, 6, 7),), TableOptions(), paced=True),
    CompactionRequest(
        7,
        1,
        "/d",
        3,
        ((FILE,), (FILE, FILE)),
        None,
        b"m",
        6,
        ((b"a", b"b"),),
        ((b"", b"z", 9),),
        5,
        TableOptions(),
        False,
    ),
    FlushDone(1, 2, OUTPUTS, COST),
    CompactionDone(7, 1, OUTPUTS, COST),
    JobFailed(7, 3, "StorageError", "no", "Traceback\n", retriable=True),
    GrantRequest(7, 1 << 20),
    Stop(),
]


def crafted_messages(rng: Random) -> bool:
    """Messages of every wrong shape; what decodes is a message of plain data and can be sent again."""
    tree = msgpack.unpackb(encode_message(rng.choice(MESSAGES)))
    data = nested(rng) if rng.random() < 0.1 else packed(rng, changed_tree(rng, tree, 0.03))
    message = decode_message(data)
    assert dataclasses.is_dataclass(message)
    encode_message(message)
    return True


def crafted_queues(rng: Random) -> bool:
    """Bytes of a pipe: lengths that lie, messages that are cut, and the end of the pipe anywhere."""
    bodies = [encode_message(rng.choice(MESSAGES)) for _ in range(rng.randint(1, 4))]
    lengths = [len(body) if rng.random() < 0.9 else rng.choice(NUMBERS) % (1 << 32) for body in bodies]
    data = b"".join(struct.pack("<I", length) + body for length, body in zip(lengths, bodies, strict=True))
    if rng.random() < 0.5:
        data = changed_bytes(rng, data)
    read_fd, write_fd = os.pipe()
    guard = fork_guard()
    guard.add(read_fd)
    reader = MessageReader(read_fd)
    try:
        os.write(write_fd, data)
        reader.receive()
        os.close(write_fd)
        write_fd = -1
        try:
            reader.receive()
        except QueueEndedError:
            return True
        raise AssertionError("the end of the pipe was not told")
    finally:
        reader.close()
        if write_fd >= 0:
            os.close(write_fd)


TARGETS: dict[str, Callable[[], Case]] = {
    "crafted messages": lambda: crafted_messages,
    "crafted queues": lambda: crafted_queues,
}
