"""The programs of MIGRATION.md: both columns of each table, and the blocks that copy what is stored."""

from __future__ import annotations

import gc
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from tests.tally import Tally

PAGE = Path(__file__).parents[2] / "MIGRATION.md"

NOTHING = object()


def sections() -> Iterator[tuple[str, str]]:
    """The title and the text of each part that has a table."""
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        yield title, text


def rows_of(text: str) -> list[tuple[str, str]]:
    """The code of both columns, row by row; an empty cell is no code."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert all(len(row) == 3 for row in cells)
    return [(row[0].strip("`"), row[1].strip("`")) for row in cells[2:]]


def outcome(code: str, names: dict[str, Any]) -> Any:
    """The value of an expression; of a statement, nothing."""
    try:
        expression = compile(code, "MIGRATION.md", "eval")
    except SyntaxError:
        exec(compile(code, "MIGRATION.md", "exec"), names)
        return NOTHING
    return eval(expression, names)


PARTS = dict(sections())
NEEDED = {"A dict": "builtins"}  # what a part needs, where it is not named as the part


@pytest.mark.parametrize("title", PARTS)
def test_both_columns_answer_the_same_line_by_line(title: str, tmp_path: Path, tally: Tally) -> None:
    """Where the old store's package is installed; the right column is run in any case."""
    peer = importlib.util.find_spec(NEEDED.get(title, title)) is not None
    old: dict[str, Any] = {"path": str(tmp_path / "old")}
    new: dict[str, Any] = {"path": str(tmp_path / "new")}
    for left, right in rows_of(PARTS[title]):
        expected = outcome(left, old) if left and peer else NOTHING
        actual = outcome(right, new) if right else NOTHING
        if NOTHING not in (expected, actual):
            assert expected == actual, (left, right)
    old.clear()
    new.clear()
    gc.collect()
    if not peer:
        tally.skip("programs of the migration page", 1, f"{title} is not installed")
    tally.add("programs of the migration page")


@pytest.mark.parametrize("title", [title for title in PARTS if "```python" in PARTS[title]])
def test_the_block_below_copies_what_the_left_column_stored(title: str, tmp_path: Path, tally: Tally) -> None:
    """What the two columns stored is the same, so the copy must equal what the right column stored."""
    if importlib.util.find_spec(title) is None:
        tally.skip("programs of the migration page", 1, f"{title} is not installed")
    rows = rows_of(PARTS[title])
    for column, path in ((0, "old"), (1, "right")):
        names: dict[str, Any] = {"path": str(tmp_path / path)}
        for row in rows:
            if row[column]:
                outcome(row[column], names)
        names.clear()
        gc.collect()
    (block,) = re.findall(r"```python\n(.*?)```", PARTS[title], re.DOTALL)
    exec(compile(block, title, "exec"), {"old_path": str(tmp_path / "old"), "new_path": str(tmp_path / "new")})
    stored = []
    for path in ("right", "new"):
        with lsmproc.open(tmp_path / path) as db:
            stored.append(dict(db.items()))
    assert stored[0]
    assert stored[0] == stored[1]
    tally.add("programs of the migration page")
