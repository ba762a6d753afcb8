"""``lsmproc dump manifest``: the version edits of a manifest, and the tree that they lead to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsmproc.cli.dump.file_rows import Row, add_file_dump, files_of, note_of_owner, print_rows

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc dump manifest /tmp/store
lsmproc dump manifest /tmp/store/MANIFEST-000011 --json
"""


def add_to(kinds: Commands) -> None:
    """Declare the command."""
    add_file_dump(
        kinds,
        "manifest",
        run,
        what="a manifest",
        target="FILE-or-PATH",
        items="edits",
        details="Each edit with offset, the state of its checksum, tables added and removed and the counters; then\n"
        "the tables that are live after all sound edits. Of a directory every manifest in it is shown, and which one\n"
        "CURRENT names. Exit code 1: edits are missing, do not check, or do not fit each other.",
        examples=_EXAMPLES,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.cli.dump.file_kind import check_kind, live_manifest  # noqa: PLC0415 - not needed to print help
    from lsmproc.formats.file_names import CURRENT, FileKind  # noqa: PLC0415 - the same

    if os.path.basename(arguments.path) == CURRENT and os.path.isfile(arguments.path):
        arguments.path = live_manifest(arguments.path)
    check_kind(arguments.path, FileKind.MANIFEST)
    return print_rows(arguments, _rows(arguments.path), {"frame", "table"})


def _rows(path: str) -> Iterator[Row]:
    from lsmproc.cli.dump.edit_rows import current_row, manifest_rows  # noqa: PLC0415 - not needed to print help

    files = files_of(path, lambda name: name.startswith("MANIFEST-"), "manifest")
    for position, (directory, name) in enumerate(files):
        if not position:
            yield from note_of_owner(directory)
            yield from current_row(directory)
        yield from manifest_rows(directory, name)
