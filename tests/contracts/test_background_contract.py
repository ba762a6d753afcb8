"""What every background promises: each request is answered once, in order of priority, on one thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lsmproc.errors import ClosedError, ConfigError
from lsmproc.formats.messages import CompactionDone, FlushDone, JobFailed
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.inline_background import InlineBackground
from lsmproc.workers.job_run import Reply
from lsmproc.workers.process_background import ProcessBackground
from lsmproc.workers.thread_background import ThreadBackground

KINDS = [InlineBackground, ThreadBackground, ProcessBackground]
CONCURRENT_KINDS = [ThreadBackground, ProcessBackground]
AnyBackground = InlineBackground | ThreadBackground | ProcessBackground
MakeBackground = Callable[..., AnyBackground]


class Replies:
    """Collects answers and lets a test wait for them."""

    def __init__(self) -> None:
        self.all: list[Reply] = []
        self.threads: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, reply: Reply) -> None:
        with self._changed:
            self.all.append(reply)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()

    def wait(self, count: int, timeout: float = 10.0) -> list[Reply]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, timeout), f"got only {self.all}"
            return list(self.all)

    def jobs(self) -> list[int]:
        return [reply.job for reply in self.all]


@pytest.fixture
def replies() -> Replies:
    """Where a test's answers arrive."""
    return Replies()


@pytest.fixture
def make_background(stand_in_jobs: ModuleType) -> Iterator[MakeBackground]:
    """Makes backgrounds that run stand-in jobs, and closes them after the test."""
    made: list[AnyBackground] = []

    def make(
        kind: type[AnyBackground], flushers: int = 1, compactors: int = 1, rate: int | None = None
    ) -> AnyBackground:
        name = stand_in_jobs.__name__
        background = kind(flushers, compactors, RateLimiter(rate), flush_runner=name, compaction_runner=name)
        made.append(background)
        return background

    yield make
    for background in made:
        background.close(2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_flush_and_compaction_are_answered_by_their_done_messages(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """The answer carries the job and the attempt of its request."""
    background = make_background(kind)
    background.submit(stand_in_jobs.flush(1), Priority.FLUSH, replies)
    background.submit(stand_in_jobs.compaction(2), Priority.DEEPER, replies)
    answers = sorted(replies.wait(2), key=lambda reply: reply.job)
    assert [FlushDone, CompactionDone] == [type(answer) for answer in answers]
    assert [(1, 1), (2, 1)] == [(answer.job, answer.attempt) for answer in answers]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_raises_is_answered_with_its_traceback(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """Class, text and traceback of the exception arrive, the input files are named, and the next job runs."""
    background = make_background(kind)
    background.submit(stand_in_jobs.flush(7, stand_in_jobs.RAISE), Priority.FLUSH, replies)
    (failure,) = replies.wait(1)
    background.submit(stand_in_jobs.flush(8), Priority.FLUSH, replies)
    assert isinstance(failure, JobFailed)
    assert (7, "ValueError", True) == (failure.job, failure.error, failure.retriable)
    assert "000007.wal" in failure.message
    assert "told to raise" in failure.message
    assert "Traceback" in failure.traceback
    assert [7, 8] == [reply.job for reply in replies.wait(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_corruption_is_not_worth_another_attempt(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """Another attempt would read the same bytes."""
    make_background(kind).submit(stand_in_jobs.compaction(1, stand_in_jobs.CORRUPT), Priority.LEVEL0, replies)
    (failure,) = replies.wait(1)
    assert isinstance(failure, JobFailed)
    assert ("CorruptionError", False) == (failure.error, failure.retriable)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_calls_come_one_at_a_time_on_one_thread(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """What runs there needs no lock against itself."""
    background = make_background(kind, flushers=2, compactors=2)
    finished = threading.Event()
    for job in range(20):
        request = stand_in_jobs.flush(job) if job % 2 else stand_in_jobs.compaction(job)
        background.submit(request, Priority.DEEPER, replies)
    background.call_soon(finished.set)
    assert set(range(20)) == {reply.job for reply in replies.wait(20)}
    assert finished.wait(5.0)
    assert 1 == len(replies.threads)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_callback_submits_runs_after_it(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """Callbacks never nest, so a chain of any length needs no stack."""
    background = make_background(kind)
    depth = 0
    depths = []

    def submit_next(reply: Reply) -> None:
        nonlocal depth
        depth += 1
        if reply.job < 50:
            background.submit(stand_in_jobs.flush(reply.job + 1), Priority.FLUSH, submit_next)
        depths.append(depth)
        depth -= 1
        replies(reply)

    background.submit(stand_in_jobs.flush(1), Priority.FLUSH, submit_next)
    replies.wait(50)
    assert list(range(1, 51)) == replies.jobs()
    assert {1} == set(depths)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_in_a_callback_is_logged_and_ends_nothing(
    kind: type[AnyBackground],
    make_background: MakeBackground,
    stand_in_jobs: ModuleType,
    replies: Replies,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The thread that delivers answers survives what it is given to run."""
    background = make_background(kind)

    def fail(_: Reply) -> None:
        raise RuntimeError("the callback of the test")

    with caplog.at_level(logging.ERROR, logger="lsmproc.workers"):
        background.submit(stand_in_jobs.flush(1), Priority.FLUSH, fail)
        background.submit(stand_in_jobs.flush(2), Priority.FLUSH, replies)
        replies.wait(1)
    assert "the callback of the test" in caplog.text


@pytest.mark.parametrize("kind", CONCURRENT_KINDS)
def test_a_higher_priority_overtakes_what_waits(
    kind: type[AnyBackground],
    make_background: MakeBackground,
    stand_in_jobs: ModuleType,
    replies: Replies,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    """Within a priority, first come is first served."""
    background = make_background(kind)
    background.submit(stand_in_jobs.compaction(1, stand_in_jobs.HOLD, tmp_path), Priority.DEEPER, replies)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    for job, priority in [(2, Priority.DEEPER), (3, Priority.DEEPER), (4, Priority.LEVEL0), (5, Priority.LEVEL0)]:
        background.submit(stand_in_jobs.compaction(job), priority, replies)
    (tmp_path / "release").touch()
    replies.wait(5)
    assert [1, 4, 5, 2, 3] == replies.jobs()


@pytest.mark.parametrize("kind", CONCURRENT_KINDS)
def test_a_flush_does_not_wait_for_compactions(
    kind: type[AnyBackground],
    make_background: MakeBackground,
    stand_in_jobs: ModuleType,
    replies: Replies,
    tmp_path: Path,
) -> None:
    """Flushes have workers of their own."""
    background = make_background(kind)
    background.submit(stand_in_jobs.compaction(1, stand_in_jobs.HOLD, tmp_path), Priority.LEVEL0, replies)
    background.submit(stand_in_jobs.flush(2), Priority.FLUSH, replies)
    replies.wait(1)
    (tmp_path / "release").touch()
    replies.wait(2)
    assert [2, 1] == replies.jobs()


@pytest.mark.parametrize("kind", CONCURRENT_KINDS)
def test_close_answers_running_and_waiting_jobs(
    kind: type[AnyBackground],
    make_background: MakeBackground,
    stand_in_jobs: ModuleType,
    replies: Replies,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    """Exactly once each, as failures of a closed background."""
    background = make_background(kind)
    for job in range(1, 4):
        background.submit(stand_in_jobs.flush(job, stand_in_jobs.HOLD, tmp_path), Priority.FLUSH, replies)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    background.close(5.0)
    assert [1, 2, 3] == sorted(replies.jobs())
    assert {"ClosedError"} == {reply.error for reply in replies.all if isinstance(reply, JobFailed)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_background_refuses_work(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """Closing twice is harmless; what comes later is refused and never answered."""
    background = make_background(kind)
    background.submit(stand_in_jobs.flush(1), Priority.FLUSH, replies)
    replies.wait(1)
    background.close(2.0)
    background.close(2.0)
    with pytest.raises(ClosedError):
        background.submit(stand_in_jobs.flush(2), Priority.FLUSH, replies)
    with pytest.raises(ClosedError):
        background.call_soon(replies.all.clear)
    assert [1] == replies.jobs()


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_may_close_the_background(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType
) -> None:
    """The thread that delivers answers must not wait for itself."""
    background = make_background(kind)
    closed = threading.Event()

    def close(_: Reply) -> None:
        background.close(2.0)
        closed.set()

    background.submit(stand_in_jobs.flush(1), Priority.FLUSH, close)
    assert closed.wait(5.0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unused_background_starts_nothing(kind: type[AnyBackground], make_background: MakeBackground) -> None:
    """A store that is opened, read and closed pays for no thread and no process."""
    before = threading.active_count()
    background = make_background(kind)
    assert () == background.worker_reports()
    assert before == threading.active_count()
    background.close(1.0)


@pytest.mark.parametrize("kind", CONCURRENT_KINDS)
def test_more_compaction_workers_take_up_waiting_jobs_at_once(
    kind: type[AnyBackground],
    make_background: MakeBackground,
    stand_in_jobs: ModuleType,
    replies: Replies,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    """And fewer let running jobs finish first."""
    background = make_background(kind)
    for job in range(1, 4):
        background.submit(stand_in_jobs.compaction(job, stand_in_jobs.HOLD, tmp_path), Priority.DEEPER, replies)
    eventually((tmp_path / stand_in_jobs.mark_name(1)).exists)
    assert not (tmp_path / stand_in_jobs.mark_name(2)).exists()
    background.set_workers(1, 3)
    eventually((tmp_path / stand_in_jobs.mark_name(3)).exists)
    background.set_workers(1, 1)
    (tmp_path / "release").touch()
    replies.wait(3)
    eventually(lambda: 1 == len(background.worker_reports()), what="surplus workers leave")


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_paces_jobs(
    kind: type[AnyBackground], make_background: MakeBackground, stand_in_jobs: ModuleType, replies: Replies
) -> None:
    """400 KiB at 1 MiB/s take 0.3 s at least: a tenth of a second's bytes is there at the start."""
    background = make_background(kind, rate=1 << 20)
    background.submit(stand_in_jobs.flush(1, stand_in_jobs.FINISH), Priority.FLUSH, replies)
    replies.wait(1)
    clock = threading.Event()
    timer = threading.Timer(0.25, clock.set)
    timer.start()
    background.submit(stand_in_jobs.flush(2, stand_in_jobs.WRITE, size=400 << 10), Priority.FLUSH, replies)
    replies.wait(2)
    assert clock.is_set()
    timer.join()


@pytest.mark.parametrize("kind", CONCURRENT_KINDS)
def test_counts_that_cannot_work_are_refused(kind: type[AnyBackground]) -> None:
    """All problems at once."""
    with pytest.raises(ConfigError) as caught:
        kind(0, -1, RateLimiter(None))
    assert 2 == len(caught.value.problems)
