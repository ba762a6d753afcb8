"""One small store with a file of every kind, what it must hold, and a reader that judges what it shows after damage.

:func:`build_small_store` lives a short life and copies the files while the store is open, as a kill would leave them:
tables on two levels with several blocks and tombstones, a sealed segment whose flush is pending, a segment with a
promise and an unsynced tail in preallocated space, a blank segment made ahead, an unfinished output in tmp/.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lsmproc import LSMStore
from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import FileKind, parse_file_name, wal_name
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.stress.disk_model import lay_out
from lsmproc.workers.inline_background import InlineBackground
from lsmproc.workers.job_run import OnReply, Request
from tests.faults.faulty_file_system import QuickFileSystem

State = dict[bytes, bytes]
Record = tuple[bytes, bytes]

MISSING_KEYS = (b"", b"a", b"key-", b"key-0004x", b"key-9999", b"\xff")
LATER = (b"zzz", b"written after the damage")


class HeldBackground(InlineBackground):
    """Runs jobs in the call that submits them, unless it is held: then they wait for ``release``."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        super().__init__(1, 1, RateLimiter(None), open_file_system=QuickFileSystem)
        self.held = False
        self._kept: list[Callable[[], None]] = []

    def submit(self, request: Request, priority: Priority, on_reply: OnReply) -> None:
        """Run or keep a job."""
        self._run_or_keep(lambda: super(HeldBackground, self).submit(request, priority, on_reply))

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run or keep a callback."""
        self._run_or_keep(lambda: super(HeldBackground, self).call_soon(callback))

    def release(self) -> None:
        """Run what was kept, in its order, and all that comes later."""
        self.held = False
        kept, self._kept = self._kept, []
        for work in kept:
            work()

    def _run_or_keep(self, work: Callable[[], None]) -> None:
        if self.held:
            self._kept.append(work)
        else:
            work()


def env_with(background: HeldBackground) -> Env:
    """An environment whose jobs that background runs."""
    env = Env(background="inline", open_file_system=QuickFileSystem)
    env.background = background
    return env


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """Where a write stands that is in the log only."""

    segment: str
    end: int  # of its frame


@dataclass(slots=True)
class SmallStore:
    """The files of a store that was killed, and what is in them."""

    options: dict[str, object]
    files: dict[str, bytes] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)  # the first without the live log, then after each write in it
    writes: list[LoggedWrite] = field(default_factory=list)
    promised: int = 0  # writes of the live log that were synced
    keys: list[bytes] = field(default_factory=list)  # all that were ever written
    listed: dict[str, int] = field(default_factory=dict)  # synced end of each log segment that the manifest knows
    past: list[dict[str, bytes]] = field(default_factory=list)  # the files at earlier instants
    history: dict[bytes, set[bytes | None]] = field(default_factory=dict)  # what a key ever held; None for nothing

    def named(self, kind: FileKind) -> list[str]:
        """The files of a kind, in the order of their numbers."""
        return sorted(name for name in self.files if (parsed := parse_file_name(name)) and parsed[0] is kind)

    @property
    def live_segments(self) -> list[str]:
        """The segments that hold anything."""
        return [name for name in self.named(FileKind.WAL) if self.files[name].strip(b"\0")]

    def intact_writes(self, name: str, offset: int) -> int:
        """How many writes of the log stand wholly before a byte of a file; all if it is not in the log."""
        if name not in self.live_segments:
            return len(self.writes)
        return bisect_right([(write.segment, write.end) for write in self.writes], (name, offset))

    def candidates(self, name: str, offset: int) -> list[State]:
        """What the store may hold after damage at a place: all, or what comes before a torn tail."""
        intact = self.intact_writes(name, offset)
        return [self.states[-1]] if intact == len(self.writes) else [self.states[-1], self.states[intact]]

    def open(self, directory: Path, env: Env, *, read_only: bool = False, **options: object) -> LSMStore:
        """The store in ``directory``, with the options that it was made with."""
        given = {**self.options, "read_only": read_only, "create_if_missing": False, **options}
        return LSMStore(LSMConfig.from_options(directory, **given), env=env)


def build_small_store(
    directory: Path,
    *,
    records: int,
    value_bytes: int = 40,
    promise: bool = True,
    late_flush: bool = False,
    seed: int = 20250,
    **options: object,
) -> SmallStore:
    """Make a store in ``directory`` and copy its files at an instant of its life.

    ``value_bytes``: about how long values are; the half of it cannot be compressed.
    ``promise``: whether the newest segment has a promise, which then covers the sealed one as well.
    ``late_flush``: whether the sealed segment is in a table by then, so that the manifest knows of the newest one.
    """
    rng = Random(seed)
    background = HeldBackground()
    env = env_with(background)
    shape = {"memtable_max_bytes": 2048, "sstable_max_bytes": 4096, "block_bytes": 512, "wal_sync": "none"}
    store = SmallStore({**shape, "level0_compaction_trigger": 15, **options})
    state: State = {}
    keys = [b"key-%04d" % number for number in range(records)]
    store.keys = [*keys]
    store.history = {key: {None} for key in keys}

    def value(key: bytes) -> bytes:
        return b"%s of %s, %d" % (rng.randbytes(rng.randrange(value_bytes)), key, rng.randrange(1000))

    def write(db: LSMStore, changed: Iterable[bytes], *, deleted: bool = False) -> None:
        with db.write_batch() as batch:
            for key in changed:
                if deleted:
                    state.pop(key, None)
                    batch.delete(key)
                else:
                    state[key] = value(key)
                    store.history[key].add(state[key])
                    batch.put(key, state[key])

    with LSMStore(LSMConfig.from_options(directory, **store.options), env=env) as db:
        for start in range(0, records, 20):
            write(db, keys[start : start + 20])
        db.compact_range()
        store.past.append(contents(directory))
        write(db, keys[::9])
        write(db, keys[1::13], deleted=True)
        db.flush_memtable()
    with store.open(directory, env) as db:
        # From here on the manifest holds edits behind its opening snapshot.
        for first in (2, 3):
            write(db, keys[first::11])
            write(db, keys[first + 1 :: 17], deleted=True)
            store.past.append(contents(directory))
            db._parts.log.prepare_spare()  # type: ignore[union-attr] # Rotations in a hurry make larger files.
            db.flush_memtable()
        _fill_log(db, store, background, state, keys, write, promise=promise, late_flush=late_flush)
        store.files = contents(directory)
        store.listed = {wal_name(number): end for number, end in db._parts.version_set.current.segments}
        background.release()
    env.close()
    store.files["tmp/1-7-1-0.sst"] = b"an output that its worker never finished"
    shutil.rmtree(directory)
    return store


def _fill_log(
    db: LSMStore,
    store: SmallStore,
    background: HeldBackground,
    state: State,
    keys: Sequence[bytes],
    write: Callable[..., None],
    *,
    promise: bool,
    late_flush: bool,
) -> None:
    """A sealed segment whose flush waits unless it is late, one that is being written, and a blank one behind it."""
    log = db._parts.log
    assert log is not None
    background.held = True

    def logged(number: int, *, deleted: bool = False, sync: bool = False, batch: int = 1) -> None:
        write(db, keys[number :: len(keys) // batch][:batch], deleted=deleted)
        store.states.append(dict(state))
        store.writes.append(LoggedWrite(log.current.name, log.current.end))
        store.past.append(contents(Path(db.path)))
        if sync:
            db.sync()
            store.promised = len(store.writes)

    store.states.append(dict(state))
    for number in range(5):
        logged(7 * number, deleted=number == 3, batch=1 + 3 * (number == 2), sync=number == 1)
    log.prepare_spare()
    db._write_path.rotate()
    for number in range(6):
        logged(5 * number + 1, deleted=number == 4, batch=1 + 2 * (number == 5), sync=promise and number == 2)
        if late_flush and number == 3:
            background.release()
            background.held = True
            # What was in the sealed segment is in a table now.
            del store.states[:5], store.writes[:5]
            store.promised -= 5
    log.prepare_spare()


@dataclass(slots=True)
class Look:
    """What a reader of a store saw."""

    opened: bool
    errors: list[CorruptionError]
    state: State | None = None  # which of the states that it might show it showed


def look(
    db: AbstractContextManager[LSMStore], keys: Sequence[bytes], candidates: Sequence[State], later: State | None = None
) -> Look:
    """Read everything in each way; fail unless all that is shown belongs to one of the states, plus ``later``."""
    with db as opened:
        errors: list[CorruptionError] = []
        forward = _drained(opened.range(), errors)
        backward = _drained(opened.range(reverse=True), errors)
        gets: dict[bytes, bytes | None] = {}
        for key in (*keys, *MISSING_KEYS):
            try:
                gets[key] = opened.get(key)
            except CorruptionError as error:
                errors.append(error)
    whole = not errors
    for candidate in candidates:
        state = {**candidate, **(later or {})}
        if _shows(state, forward, backward, gets, whole=whole):
            return Look(True, errors, candidate)
    wanted = {**candidates[0], **(later or {})}
    wrong = {key: value for key, value in gets.items() if wanted.get(key) != value}
    raise AssertionError(
        f"wrong values: gets {wrong!r:.300}, scanned {len(forward)} forward and {len(backward)} backward of "
        f"{len(wanted)}, errors {errors!r:.300}"
    )


def try_to_open(open_store: Callable[[], LSMStore]) -> LSMStore | Look:
    """The open store, or the look of one that names its damage at once."""
    try:
        return open_store()
    except CorruptionError as error:
        return Look(False, [error])


def look_at(
    store: SmallStore,
    directory: Path,
    env: Env,
    candidates: Sequence[State],
    *,
    read_only: bool,
    later: State | None = None,
) -> Look:
    """Open the store in ``directory``, if that can be, read all of it, and close it."""
    opened = try_to_open(lambda: store.open(directory, env, read_only=read_only))
    return opened if isinstance(opened, Look) else look(opened, store.keys, candidates, later)


def open_for_good(
    store: SmallStore, directory: Path, env: Env, files: dict[str, bytes], states: Sequence[State]
) -> Look:
    """What an owner sees, and leaves: if it opens, a write and another opening change nothing else.

    If it does not open, the directory is as it was, but for the text in LOCK and what was in tmp/.
    """
    lay_out(directory, files)
    try:
        opened = try_to_open(lambda: store.open(directory, env))
        if isinstance(opened, Look):
            assert _without_traces(files) == _without_traces(contents(directory))
            return opened
        with opened:
            found = look(nullcontext(opened), store.keys, states)
            assert found.state is not None
            opened.put(*LATER)
        later = dict([LATER])
        again = look_at(store, directory, env, [found.state], read_only=True, later=later)
        assert again.opened
        assert {(error.file, error.offset) for error in found.errors} == {(e.file, e.offset) for e in again.errors}
        return found
    finally:
        shutil.rmtree(directory)


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a directory, in the order of their names."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def _without_traces(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != "LOCK" and not name.startswith("tmp/")}


def _drained(records: Iterable[Record], errors: list[CorruptionError]) -> list[Record]:
    """All records up to the end, or up to the error."""
    found: list[Record] = []
    try:
        found.extend(records)
    except CorruptionError as error:
        errors.append(error)
    return found


def _shows(
    state: State, forward: list[Record], backward: list[Record], gets: dict[bytes, bytes | None], *, whole: bool
) -> bool:
    ordered = sorted(state.items())
    if whole and not len(ordered) == len(forward) == len(backward):
        return False
    return (
        ordered[: len(forward)] == forward
        and ordered[::-1][: len(backward)] == backward
        and all(state.get(key) == value for key, value in gets.items())
    )
