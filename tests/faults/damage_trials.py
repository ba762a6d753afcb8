"""Changes files of a small store, looks at it in every way, and says how the change was found, or fails.

Whatever was changed, three readers must agree: ``verify_store``, a read-only opening that reads everything, and an
owner that opens, reads, writes and leaves. What they may say is an :data:`Outcome`; whatever else happens (a wrong, a
missing or a resurrected value, another exception) is an AssertionError or that exception.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lsmproc.env import Env
from lsmproc.errors import CorruptionError
from lsmproc.stress.disk_model import lay_out
from lsmproc.verification import VerificationReport, verify_store
from tests.faults.faulty_file_system import QuickFileSystem
from tests.faults.small_store import SmallStore, State, look_at, open_for_good

Changes = Mapping[str, bytes | None]  # new content by name; None removes the file

# How a change is found: at once, when the damaged part is read, as the torn tail of a crash, by verify_store alone (as
# damage, or as a note), or not at all, while every value is right.
Outcome = str
ERROR_AT_OPEN, ERROR_ON_READ, TORN_TAIL = "error at open", "error on read", "torn tail"
ONLY_VERIFY, NOTED, UNNOTICED = "only verify", "noted by verify", "unnoticed, nothing wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one change."""

    outcome: Outcome
    errors: tuple[CorruptionError, ...]
    state: State | None  # which of the states was shown
    report: VerificationReport


class DamageTrials:
    """A store in a directory, of which one thing after the other is damaged and put right again."""

    def __init__(self, scratch: Path, store: SmallStore) -> None:
        """Lay the store out below ``scratch``."""
        self.store = store
        self._directory = scratch / "damaged"
        self._copy = scratch / "copy"
        self._env = Env(background="inline", open_file_system=QuickFileSystem)
        lay_out(self._directory, store.files)

    def close(self) -> None:
        """Remove the store."""
        self._env.close()
        shutil.rmtree(self._directory)

    def look(self, changes: Changes, candidates: Sequence[State], *, owner: bool = True) -> Finding:
        """Change the files, look, and change them back. The first candidate is the state before the change."""
        self._write(changes)
        try:
            return self._look(changes, candidates, owner=owner)
        finally:
            self._write({name: self.store.files.get(name) for name in changes})

    def _look(self, changes: Changes, candidates: Sequence[State], *, owner: bool) -> Finding:
        report = verify_store(self._directory)
        found = look_at(self.store, self._directory, self._env, candidates, read_only=True)
        if owner:
            files = {name: content for name, content in {**self.store.files, **changes}.items() if content is not None}
            by_owner = open_for_good(self.store, self._copy, self._env, files, candidates)
            assert (found.opened, found.state) == (by_owner.opened, by_owner.state)
            assert list(map(str, found.errors)) == list(map(str, by_owner.errors))
        problems = {problem.file for problem in report.problems if problem.damage}
        for error in found.errors:
            # With two files changed, each of the readers may have met another one first.
            assert error.file in problems or problems & changes.keys(), (error, report)
            assert str(error).startswith(error.file)
        if found.errors:
            outcome = ERROR_ON_READ if found.opened else ERROR_AT_OPEN
        elif found.state != candidates[0]:
            outcome = TORN_TAIL
        elif report.problems:
            outcome = ONLY_VERIFY
        else:
            outcome = NOTED if any(_is_about(note, name) for note in report.notes for name in changes) else UNNOTICED
        return Finding(outcome, tuple(found.errors), found.state, report)

    def _write(self, changes: Changes) -> None:
        for name, content in changes.items():
            path = self._directory / name
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)


@contextmanager
def damage_trials(scratch: Path, store: SmallStore) -> Iterator[DamageTrials]:
    """Trials that give back what they opened."""
    trials = DamageTrials(scratch, store)
    try:
        yield trials
    finally:
        trials.close()


@contextmanager
def quick_directory(otherwise: Path) -> Iterator[Path]:
    """A directory in memory if the machine has one: thousands of small stores are opened in it."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield otherwise
        return
    with TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)


def _is_about(note: str, name: str) -> bool:
    return note.startswith((f"{name} has a torn tail", f"{name}: "))
