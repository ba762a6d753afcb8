"""Events reach those who listen: in order, on one thread, whatever the listeners do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from lsmproc.errors import ClosedError
from lsmproc.events import event_stream, subscription
from lsmproc.events.event import Event, EventsDropped, TableDeleted, event_name, to_json_dict
from lsmproc.events.event_stream import EventStream
from lsmproc.events.subscription import Subscription

Eventually = Callable[..., None]

DEADLINE_SECONDS = 10


@pytest.fixture
def stream() -> Iterator[EventStream]:
    """A stream whose clock stands still."""
    made = EventStream(lambda: 1_000_000, for_log=True)
    yield made
    made.close()


def numbers(events: list[Event]) -> list[int]:
    """The tables that were removed."""
    return [event.number for event in events if isinstance(event, TableDeleted)]


def publish(stream: EventStream, *tables: int) -> None:
    """Some events."""
    for number in tables:
        stream.publish(TableDeleted(number=number))


def test_events_come_stamped_and_in_order_on_a_thread_of_their_own(stream: EventStream) -> None:
    """The publisher is a writer under a lock: no callback may run there."""
    heard: list[Event] = []
    threads: set[str] = set()

    def hear(event: Event) -> None:
        heard.append(event)
        threads.add(threading.current_thread().name)

    with stream.subscribe(hear):
        publish(stream, *range(100))
    assert list(range(100)) == numbers(heard)
    assert ({1_000_000}, {"lsmproc-events"}) == ({event.time_ns for event in heard}, threads)


def test_there_is_a_thread_only_while_somebody_subscribes(stream: EventStream, eventually: Eventually) -> None:
    """A store that nobody watches has none; the next subscriber gets one again."""
    names = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731 - asked several times
    publish(stream, 1)
    assert "lsmproc-events" not in names()
    for number in (2, 3):
        heard: list[Event] = []
        with stream.subscribe(heard.append):
            publish(stream, number)
            assert "lsmproc-events" in names()
        eventually(lambda: "lsmproc-events" not in names())
        assert [number] == numbers(heard)


def test_a_slow_callback_delays_nobody_loses_events_and_is_told_how_many(
    stream: EventStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is bounded; where the gap is stands an event with the count."""
    monkeypatch.setattr(subscription, "MOST_WAITING", 3)
    begun, go_on = threading.Event(), threading.Event()
    heard: list[Event] = []

    def hear(event: Event) -> None:
        begun.set()
        go_on.wait(10)
        heard.append(event)

    with stream.subscribe(hear) as slow:
        publish(stream, 0)
        assert begun.wait(10)
        publish(stream, *range(1, 8))
        go_on.set()
    assert ([0, 1, 2, 3], 4) == (numbers(heard), slow.dropped)
    assert [4] == [event.count for event in heard if isinstance(event, EventsDropped)]


def test_a_callback_that_raises_is_named_and_hears_the_next_event(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    """Also SystemExit: the thread belongs to all of them."""
    heard: list[Event] = []

    def bad_subscriber(event: Event) -> None:
        raise SystemExit(3)

    with stream.subscribe(bad_subscriber), stream.subscribe(heard.append), caplog.at_level(logging.ERROR):
        publish(stream, 1, 2)
    assert [1, 2] == numbers(heard)
    (text, again) = [record.getMessage() for record in caplog.records if record.name == "lsmproc.events"]
    assert (True, True) == ("bad_subscriber" in text, "2 times by now" in again)


def test_a_callback_that_always_raises_does_not_flood_the_log(
    stream: EventStream, caplog: pytest.LogCaptureFixture
) -> None:
    """All failures are counted; one message for each doubling, with its traceback."""

    def bad_subscriber(event: Event) -> None:
        raise ValueError("broken")

    with stream.subscribe(bad_subscriber) as listening, caplog.at_level(logging.ERROR):
        publish(stream, *range(100))
    records = [record for record in caplog.records if record.name == "lsmproc.events"]
    assert (100, 7) == (listening.failed, len(records))
    assert all(record.exc_info for record in records)


def test_a_callback_may_end_its_own_subscription(stream: EventStream) -> None:
    """It does not wait for itself, and hears nothing more."""
    heard: list[Event] = []
    ends: list[Subscription] = []

    def hear_once(event: Event) -> None:
        heard.append(event)
        ends[0].close()

    ends.append(stream.subscribe(hear_once))
    publish(stream, 1, 2, 3)
    ends[0].close()
    assert ([1], True) == (numbers(heard), ends[0].closed)


def test_after_close_nothing_is_heard_and_nobody_can_subscribe(stream: EventStream) -> None:
    """A callback may be called while the stream closes, and not later."""
    heard: list[Event] = []
    listening = stream.subscribe(heard.append)
    publish(stream, 1)
    stream.close()
    publish(stream, 2)
    assert ([1], True, 1) == (numbers(heard), listening.closed, stream.published)
    with pytest.raises(ClosedError):
        stream.subscribe(heard.append)


def test_closing_does_not_wait_for_ever_for_a_stuck_callback(stream: EventStream, eventually: Eventually) -> None:
    """A store must be closable whatever its subscribers do."""
    stuck, go_on = threading.Event(), threading.Event()

    def hear(event: Event) -> None:
        stuck.set()
        go_on.wait(20)

    stream.subscribe(hear)
    publish(stream, 1)
    assert stuck.wait(10)
    stream.close(timeout=0.05)
    go_on.set()
    eventually(lambda: "lsmproc-events" not in [thread.name for thread in threading.enumerate()])


def test_what_is_no_function_is_refused(stream: EventStream) -> None:
    """At once, and not in the thread at the first event."""
    with pytest.raises(TypeError, match="function of one event"):
        stream.subscribe("print")  # type: ignore[arg-type]


def test_what_waits_for_the_log_is_bounded_too(stream: EventStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may come round to take it."""
    monkeypatch.setattr(event_stream, "MOST_FOR_LOG", 2)
    publish(stream, 1, 2, 3, 4)
    taken = stream.take_for_log()
    assert ([1, 2], [2]) == (numbers([*taken]), [each.count for each in taken if isinstance(each, EventsDropped)])
    assert () == stream.take_for_log()


def test_an_event_as_data_has_time_and_name_first(stream: EventStream) -> None:
    """The names in LOG are the words of the classes."""
    event = TableDeleted(time_ns=1_700_000_000_123_456_789, number=7)
    assert "table_deleted" == event_name(event)
    assert {"time": "2023-11-14T22:13:20.123Z", "event": "table_deleted", "number": 7} == to_json_dict(event)
    assert ["time", "event", "number"] == list(to_json_dict(event))


def test_a_callback_that_closes_the_stream_does_not_keep_the_others_from_their_last_events(stream: EventStream) -> None:
    """They share its thread, so nobody else could tell them; and nothing waits for what cannot happen."""
    heard: list[Event] = []
    closed = threading.Event()
    gate = threading.Event()

    def close(_: Event) -> None:
        gate.wait(DEADLINE_SECONDS)
        stream.close(DEADLINE_SECONDS)
        closed.set()

    stream.subscribe(close)
    stream.subscribe(heard.append)
    publish(stream, 1, 2, 3)
    gate.set()
    assert closed.wait(DEADLINE_SECONDS / 2)
    assert [1, 2, 3] == numbers(heard)


def test_events_that_are_dropped_while_the_gap_is_told_are_told_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is taken under the lock: one that comes just before it is in it."""
    monkeypatch.setattr(subscription, "MOST_WAITING", 0)
    heard: list[Event] = []

    class BusyLock:
        """A lock that another publisher gets first."""

        def __enter__(self) -> None:
            one.offer(TableDeleted(number=2))

        def __exit__(self, *_: object) -> None:
            pass

    one = Subscription(heard.append, lambda _: None, BusyLock())
    one.offer(TableDeleted(number=1))
    one.deliver()
    assert [2] == [event.count for event in heard if isinstance(event, EventsDropped)]
    assert 2 == one.dropped
