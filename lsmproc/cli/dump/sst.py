"""``lsmproc dump sst``: footer, properties, index, filter and blocks of a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsmproc.cli.dump.file_rows import Row, add_file_dump, files_of, note_of_owner, print_rows

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc dump sst /tmp/store/000013.sst
lsmproc dump sst /tmp/store/000013.sst --records --limit 100
lsmproc dump sst /tmp/store/000013.sst --summary --json
"""


def add_to(kinds: Commands) -> None:
    """Declare the command."""
    parser = add_file_dump(
        kinds,
        "sst",
        run,
        what="a table",
        target="FILE",
        items="blocks",
        details="Footer, properties, index and filter, then each block with offset, bytes, codec, records, keys and\n"
        "the state of its checksum. Blocks behind a bad one are shown, also where the index is lost. Exit code 1:\n"
        "something does not check. Whether the table is live, and its checksum as a file, only the manifest knows.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--records", action="store_true", help="print the records of sound blocks, in place of blocks")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lsmproc.cli.dump.file_kind import check_kind  # noqa: PLC0415 - the engine is not needed to print help
    from lsmproc.formats.file_names import FileKind  # noqa: PLC0415 - the same

    check_kind(arguments.path, FileKind.TABLE)
    limited = {"record"} if arguments.records else {"block"}
    return print_rows(arguments, _rows(arguments.path, records=arguments.records), limited)


def _rows(path: str, *, records: bool) -> Iterator[Row]:
    from lsmproc.cli.dump.table_rows import table_rows  # noqa: PLC0415 - the engine is not needed to print help

    for directory, name in files_of(path, lambda _: False, "single table here: name one file, and look"):
        yield from note_of_owner(directory)
        yield from table_rows(directory, name, records=records)
