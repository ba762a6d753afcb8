"""Reads the text scripts under testdata: trees drawn in a few lines, and what a picker should make of them.

The language is explained at the top of each script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lsmproc.compaction.compaction import Compaction
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.protocols import CompactionPicker
from lsmproc.storage.version import Version

TESTDATA = Path(__file__).parent / "testdata"

_TABLE = re.compile(r"(?P<number>\d+):(?P<smallest>\w+)-(?P<largest>\w+)(/(?P<size>\d+)(?P<dead>t)?)?")


@dataclass
class Case:
    """One case of a script."""

    name: str
    version: Version
    running: list[Compaction]
    manual: tuple[int, bytes | None, bytes | None] | None
    expected: str
    idle_paid: int | None = None

    def outcome(self, picker: CompactionPicker) -> str:
        """What ``picker`` does here, in the words of the scripts."""
        if self.idle_paid is not None:
            return described(picker.pick_idle(self.version, self.idle_paid))
        if self.manual is None:
            return described(picker.pick(self.version, self.running))
        level, start, stop = self.manual
        return described(picker.manual(self.version, level, start, stop, running=self.running))


def cases(name: str) -> list[Case]:
    """The cases of a script, in order."""
    text = re.sub(r"#.*", "", (TESTDATA / name).read_text())
    return [_case(lines.strip().splitlines()) for lines in re.split(r"^case:", text, flags=re.MULTILINE)[1:]]


def described(compaction: Compaction | None) -> str:
    """A compaction as the scripts write it: merge or move, the tables in order, the output level."""
    if compaction is None:
        return "nothing"
    numbers = " ".join(str(file.number) for _, file in compaction.files)
    return f"{'move' if compaction.trivial_move else 'merge'} {numbers} -> L{compaction.output_level}"


def _case(lines: list[str]) -> Case:
    case = Case(lines[0].strip(), Version(), [], None, "")
    for line in lines[1:]:
        word, _, rest = (part.strip() for part in line.partition(":"))
        if not word:
            continue
        if re.fullmatch(r"L\d", word):
            added = tuple((int(word[1:]), file) for file in _tables(rest))
            case.version = case.version.apply(VersionEdit(added=added))
        elif word == "running":
            case.running.append(_running(case.version, rest))
        elif word == "manual":
            level, *bounds = rest.split()
            start, stop = [bound.encode() for bound in bounds] or (None, None)
            case.manual = (int(level[1:]), start, stop)
        elif word == "idle":
            case.idle_paid = int(rest)
        elif word == "pick":
            case.expected = rest
        else:
            raise ValueError(f"{line!r} is not in the language of the scripts")
    assert case.expected, f"case {case.name!r} expects nothing; say 'pick: nothing'"
    return case


def _tables(text: str) -> list[FileMetadata]:
    drawn = text.split()
    tables = []
    for age, word in enumerate(drawn):
        match = _TABLE.fullmatch(word)
        assert match, f"{word!r} is no table"
        number, size, sequence = int(match["number"]), int(match["size"] or 10), len(drawn) - age
        smallest, largest = match["smallest"].encode(), match["largest"].encode()
        dead = size // 2 if match["dead"] else 0
        tables.append(FileMetadata(number, size, 0, 0, smallest, largest, size, dead, sequence, sequence, size))
    return tables


def _running(version: Version, text: str) -> Compaction:
    numbers, _, output = text.partition("->")
    wanted = {int(number) for number in numbers.split()}
    inputs = tuple((level, (file,)) for level, file in version.files() if file.number in wanted)
    assert len(inputs) == len(wanted), f"{text!r} names a table that is not drawn"
    return Compaction(inputs, int(output.strip()[1:]), "running", 1.0)
