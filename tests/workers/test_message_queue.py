"""A queue delivers messages whole or not at all, and neither end ever waits for the other."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import MAX_MESSAGE_BYTES, Grant, JobFailed, Message, Ready, Stop, encode_message
from lsmproc.workers.message_queue import MessageReader, MessageWriter, QueueEndedError
from lsmproc.workers.spawn import pipe_above_stderr


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The descriptors of a pipe; closes those that the test has left open."""
    made: list[int] = []
    read_fd, write_fd = pipe_above_stderr(made)
    yield read_fd, write_fd
    for fd in made:
        try:
            os.close(fd)
        except OSError:
            continue


def frame(message: Message) -> bytes:
    """A message as it stands in the pipe."""
    body = encode_message(message)
    return struct.pack("<I", len(body)) + body


def test_messages_arrive_in_order(ends: tuple[int, int]) -> None:
    """All that are complete at once."""
    reader, writer = MessageReader(ends[0]), MessageWriter(ends[1])
    assert [] == reader.receive()
    for size in range(3):
        writer.put(Grant(size))
    assert [Grant(0), Grant(1), Grant(2)] == reader.receive()
    assert [] == reader.receive()


def test_a_message_larger_than_the_pipe_waits_in_the_writer(ends: tuple[int, int]) -> None:
    """Putting it returns at once; it goes on with each flush as the reader takes it."""
    reader, writer = MessageReader(ends[0]), MessageWriter(ends[1])
    large = JobFailed(1, 1, "E", "x" * 1_000_000, "", retriable=True)
    writer.put(large)
    writer.put(Stop())
    assert writer.pending
    received: list[Message] = []
    while len(received) < 2:
        received += reader.receive()
        writer.flush()
    assert [large, Stop()] == received
    assert not writer.pending


def test_half_a_message_is_not_waited_for(ends: tuple[int, int]) -> None:
    """A sender that is stopped in the middle delays nobody; the rest completes it."""
    reader = MessageReader(ends[0])
    data = frame(Ready(5))
    for index in range(len(data) - 1):
        os.write(ends[1], data[index : index + 1])
        assert [] == reader.receive()
    os.write(ends[1], data[-1:])
    assert [Ready(5)] == reader.receive()


@pytest.mark.parametrize(("cut", "place"), [(0, "between"), (1, "within"), (5, "within")])
def test_the_end_of_the_pipe_is_told_after_the_last_message(ends: tuple[int, int], cut: int, place: str) -> None:
    """What was complete is delivered; what was cut short is not."""
    reader = MessageReader(ends[0])
    os.write(ends[1], frame(Ready(5)) + frame(Ready(6))[:cut])
    os.close(ends[1])
    assert [Ready(5)] == reader.receive()
    with pytest.raises(QueueEndedError, match=place):
        reader.receive()


def test_a_writer_without_a_reader_says_so(ends: tuple[int, int]) -> None:
    """The reader has died; no signal is raised."""
    writer = MessageWriter(ends[1])
    os.close(ends[0])
    with pytest.raises(QueueEndedError):
        writer.put(Stop())


@pytest.mark.parametrize(
    "data", [struct.pack("<I", MAX_MESSAGE_BYTES + 1), struct.pack("<I", 2) + b"\xc1\xc1", struct.pack("<I", 0)]
)
def test_bytes_that_are_no_message_are_corruption(ends: tuple[int, int], data: bytes) -> None:
    """A length above the limit is refused before anything is read."""
    reader = MessageReader(ends[0])
    os.write(ends[1], data)
    with pytest.raises(CorruptionError):
        reader.receive()
