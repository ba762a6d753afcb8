"""Manual compactions that fail: their callers hear of it, whichever way the tables were to go."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import Error, NoSpaceError
from tests.faults.faulty_file_system import WRITES, FaultPlan


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "merged"])
def test_a_manual_compaction_that_fails_says_so_and_works_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """Also where a picker has a table moved by an edit alone, which ours do not: the edit could not be recorded."""
    plan = FaultPlan()
    config = LSMConfig.from_options(tmp_path / "store", level0_compaction_trigger=10)
    with LSMStore(config, env=Env(background="inline", open_file_system=plan.open_file_system)) as db:
        db.put(b"key", b"value")
        db.flush_memtable()
        pick = db._parts.picker.manual
        monkeypatch.setattr(
            db._parts.picker, "manual", lambda *asked, **how: replace(pick(*asked, **how), trivial_move=moved)
        )
        plan.operations.clear()
        plan.kinds, plan.at, plan.count, plan.error = WRITES, 0, 1 << 60, errno.ENOSPC
        with pytest.raises(Error) as caught:
            db.compact_level(0, timeout=10)
        plan.at = None
        assert moved == isinstance(caught.value, NoSpaceError)
        assert 1 == len(db._write_path.view.version.levels[0])
        db.compact_level(0, timeout=10)
        version = db._write_path.view.version
        assert (0, 1) == (len(version.levels[0]), len(version.files()))
        assert b"value" == db.get(b"key")
