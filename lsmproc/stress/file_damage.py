"""Between two owners a file is damaged: the next one must notice, or show nothing that is wrong.

What it may do: refuse the store with a CorruptionError that names the file; open it and raise that error for what
cannot be read; take the damaged end of a log for one torn by a crash, as long as nothing is lost that was durable; or
show everything, where the byte means nothing. Afterwards the directory is put back as it was.

A newest log segment that ends earlier than it did, or is gone, cannot be told from one that was never written further:
then everything may be missing from the end of the cycle.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from lsmproc.formats.file_names import LOCK
from lsmproc.storage.file_system import READ_WRITE, PosixFileSystem
from lsmproc.storage.wal_reader import is_blank
from lsmproc.stress.oracle import Problem
from lsmproc.stress.points import file_kind

if TYPE_CHECKING:
    from lsmproc.stress.cycle_result import CycleResult
    from lsmproc.stress.episode import Episode
    from lsmproc.stress.owner_under_test import OwnerUnderTest
    from lsmproc.stress.schedule import CyclePlan

_KINDS = ("CURRENT", "manifest", "wal", "table")
_HOW = ("flip", "flip", "flip", "cut", "grow", "remove", "swap")
_MOST_JUNK_BYTES = 100


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to which files."""

    text: str
    names: tuple[str, ...]
    ends_log: bool = False  # the newest segment ends earlier than it did

    @property
    def in_log(self) -> bool:
        """Whether it may be taken for the end of a log that a crash tore."""
        return file_kind(self.names[0]) == "wal"

    @property
    def cuts_manifest(self) -> bool:
        """Whether the manifest may end before its newest edits, as one that a crash tore.

        It is then the manifest of an older state, and the error names a file of that state that is gone.
        """
        return self.text.startswith("cut") and file_kind(self.names[0]) == "manifest"


def run(episode: Episode, owner: OwnerUnderTest, cycle: CyclePlan, result: CycleResult) -> None:
    """End the owner, damage a copy of the store, look at that, and go on with the store as it was."""
    closed = cycle.chance.random() < 0.5
    if closed:
        episode.close(owner)
    else:
        episode.bury(owner)
    result.acked = sum(owner.acks.done)
    episode.copy_evidence()
    damage = damage_store(str(episode.volume.store), cycle.chance)
    result.victim = f"{damage.text}{' (closed)' if closed else ''}"
    result.outcome = _look_at_damage(episode, owner, cycle, damage, result)
    episode.put_evidence_back()
    episode.oracle.finish(owner.acks.done, killed=not closed)
    result.pending = episode.oracle.pending
    if not result.problems:
        episode.open(result)


def damage_store(path: str, chance: Random) -> Damage:
    """Damage one file of a store, or swap two of one kind."""
    fs = PosixFileSystem(path)
    try:
        files: defaultdict[str, list[str]] = defaultdict(list)
        for name in fs.list_directory():
            if name != LOCK:
                files[file_kind(name)].append(name)
        names = files[chance.choice([kind for kind in _KINDS if files[kind]])]
        name = chance.choice(names)
        how = chance.choice(_HOW)
        newest = name == max((each for each in files["wal"] if not is_blank(fs, each)), default="")
        if how == "swap" and len(names) > 1:
            other = chance.choice([each for each in names if each != name])
            for source, target in ((name, "swapped"), (other, name), ("swapped", other)):
                fs.rename(source, target)
            return Damage(f"swap {name} {other}", (name, other))
        if how in {"remove", "swap"}:
            fs.unlink(name)
            return Damage(f"remove {name}", (name,), newest)
        return Damage(f"{_change_bytes(fs, name, how, chance)} {name}", (name,), newest and how == "cut")
    finally:
        fs.shut()


def _change_bytes(fs: PosixFileSystem, name: str, how: str, chance: Random) -> str:
    fd = fs.open(name, READ_WRITE)
    try:
        size = fs.size(fd)
        if how == "grow" or not size:
            fs.write_all(fd, chance.randbytes(chance.randint(1, _MOST_JUNK_BYTES)), size)
            return "grow"
        offset = chance.randrange(size)
        if how == "cut":
            fs.truncate(fd, offset)
            return f"cut at {offset}"
        mask = chance.choice((0xFF, 1 << chance.randrange(8)))
        fs.write_all(fd, bytes([fs.pread(fd, 1, offset)[0] ^ mask]), offset)
        return f"flip {mask:#04x} at {offset}"
    finally:
        fs.close(fd)


def _look_at_damage(
    episode: Episode, dead: OwnerUnderTest, cycle: CyclePlan, damage: Damage, result: CycleResult
) -> str:
    """What an owner finds; adds to the problems what it may not find."""
    victim = episode.start_owner(tolerate_opening=True)
    said = victim.expect("opened", "not opened")
    if said["is"] == "not opened":
        episode.bury(victim)
        if said["error"] == "CorruptionError" and damage.cuts_manifest and said["file"] not in damage.names:
            return "error at open, for what an older manifest needs"
        if said["error"] != "CorruptionError" or said["file"] not in damage.names:
            result.problems.append(Problem("error", f"{damage.text}: opening raised {said['error']}: {said['text']}"))
        return "error at open"
    found = victim.ask("survey", "survey")
    episode.bury(victim)
    if others := set(found["files"]) - set(damage.names):
        result.problems.append(Problem("error", f"{damage.text}: reading found damage in {sorted(others)}"))
    result.problems += [Problem("reads differ", f"{damage.text}: at {key!r}") for key in found["differing"][:1]]
    missing, problems = episode.oracle.judge_damaged(
        cycle.number,
        dead.acks.order,
        dict(found["records"]),
        found["unreadable"],
        torn=damage.in_log,
        synced=not damage.ends_log,
    )
    result.problems += [Problem(each.kind, f"{damage.text}: {each.text}", each.history) for each in problems]
    if found["files"]:
        return "error on read"
    return "torn tail" if missing else "nothing missing"
