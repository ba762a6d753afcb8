"""What tests of trouble with workers share: stores whose background is made for the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.workers.process_background import ProcessBackground
from tests.trouble.ledger import SMALL

STAND_INS = Path(__file__).parent / "stand_ins"

OpenStore = Callable[..., lsmproc.LSMStore]


@pytest.fixture
def deadly_jobs(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a runner module whose jobs kill their process."""
    monkeypatch.syspath_prepend(STAND_INS)
    return "lsmproc_deadly_jobs"


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens a store with worker processes that are given special arguments, and closes it after the test."""
    with ExitStack() as stack:

        def open_(background: dict[str, Any] | None = None, **settings: Any) -> lsmproc.LSMStore:
            env = stack.enter_context(lsmproc.Env(compaction_workers=1))
            env.background.close(0)
            env.background = ProcessBackground(1, 1, env.rate_limiter, **(background or {}))
            return stack.enter_context(lsmproc.open(tmp_path / "db", env=env, **(SMALL | settings)))

        yield open_


@pytest.fixture
def worker_pids() -> Callable[..., list[int]]:
    """The processes of a store's workers of one kind."""

    def pids(db: lsmproc.LSMStore, kind: str = "") -> list[int]:
        reports = db.env.background.worker_reports()
        return [report.pid for report in reports if report.pid is not None and kind in {"", report.kind}]

    return pids
