"""``lsmproc dump wal``: the frames of log segments, and where they do not check."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsmproc.cli.dump.file_rows import Row, add_file_dump, files_of, note_of_owner, print_rows

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc dump wal /tmp/store/000012.wal
lsmproc dump wal /tmp/store --summary
lsmproc dump wal /tmp/store/000012.wal --limit 20 --hex
"""


def add_to(kinds: Commands) -> None:
    """Declare the command."""
    add_file_dump(
        kinds,
        "wal",
        run,
        what="a log segment",
        target="FILE-or-PATH",
        items="frames",
        details="Each frame with offset, bytes, sequence number, kind, records and the state of its checksum; behind\n"
        "damage it goes on where frames prove themselves again. Exit code 1: frames are missing or do not check; a\n"
        "torn tail, as a crash leaves it, is none. Whether a whole segment is missing only lsmproc verify can tell.",
        examples=_EXAMPLES,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.cli.dump.file_kind import check_kind  # noqa: PLC0415 - the engine is not needed to print help
    from lsmproc.formats.file_names import FileKind  # noqa: PLC0415 - the same

    check_kind(arguments.path, FileKind.WAL)
    return print_rows(arguments, _rows(arguments.path), {"frame"})


def _rows(path: str) -> Iterator[Row]:
    from lsmproc.cli.dump.log_rows import log_rows  # noqa: PLC0415 - the engine is not needed to print help
    from lsmproc.formats.log_format import KIND_WAL  # noqa: PLC0415 - the same

    for position, (directory, name) in enumerate(files_of(path, lambda name: name.endswith(".wal"), "log segment")):
        if not position:
            yield from note_of_owner(directory)
        yield from log_rows(directory, name, KIND_WAL)
