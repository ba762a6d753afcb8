"""``lsmproc compact``, ``flush``, ``checkpoint`` and ``destroy``: what is done to a whole store that is not open."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_json, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError
from lsmproc.cli.record_text import given_bound
from lsmproc.cli.store_access import open_to_write

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.store import LSMStore

_COMPACT_EXAMPLES = """
lsmproc compact /data/store                        all levels, into the deepest that holds anything
lsmproc compact /data/store --level 0
lsmproc compact /data/store --start user: --stop user; --set compaction_workers=4
"""
_FLUSH_EXAMPLES = """
lsmproc flush /data/store                          the log becomes a table; the next opening is quick
"""
_CHECKPOINT_EXAMPLES = """
lsmproc checkpoint /data/store /data/store-monday
"""
_DESTROY_EXAMPLES = """
lsmproc destroy /data/old-store
lsmproc destroy /data/old-store --yes              asks nothing, for scripts
"""


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    compact = add_command(
        commands,
        "compact",
        _compact,
        summary="merge a store's tables down, so that it takes less space and reads ask fewer tables",
        examples=_COMPACT_EXAMPLES,
    )
    add_store(compact)
    compact.add_argument("--level", metavar="N", type=int, help="only this level, into the one below")
    compact.add_argument("--start", metavar="KEY", help="only tables from this key on")
    compact.add_argument("--stop", metavar="KEY", help="only tables before this key")
    add_text_form(compact)
    add_json(compact, "one JSON object")
    flush = add_command(
        commands, "flush", _flush, summary="write what is only in a store's log to a table", examples=_FLUSH_EXAMPLES
    )
    add_store(flush)
    add_json(flush, "one JSON object")
    checkpoint = add_command(
        commands,
        "checkpoint",
        _checkpoint,
        summary="make a copy of a store out of hard links, in a moment",
        details="DEST is a new or empty directory; on the same file system the copy takes no space until tables are\n"
        "merged away. A store that is open makes its own: db.checkpoint(dest).",
        examples=_CHECKPOINT_EXAMPLES,
    )
    add_store(checkpoint)
    checkpoint.add_argument("destination", metavar="DEST")
    add_json(checkpoint, "one JSON object")
    destroy = add_command(
        commands,
        "destroy",
        _destroy,
        summary="remove a store with all that is in it",
        details="Asks first. Refuses a directory that is no store or holds anything else, and a store that is open.",
        examples=_DESTROY_EXAMPLES,
    )
    destroy.add_argument("path", metavar="PATH", help="directory of the store")
    destroy.add_argument("--yes", action="store_true", help="do not ask")


def _compact(arguments: argparse.Namespace) -> int:
    start, stop = (given_bound(text, hexadecimal=arguments.hex) for text in (arguments.start, arguments.stop))
    with open_to_write(arguments, create=False) as store:
        before = _bytes(store)
        try:
            results = (
                store.compact_range(start, stop)
                if arguments.level is None
                else (store.compact_level(arguments.level, start, stop),)
            )
        except ValueError as error:
            raise CannotError(str(error)) from None
        report = {
            "compactions": sum(result.compactions for result in results),
            "bytes_before": before,
            "bytes_after": _bytes(store),
        }
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            f"{report['compactions']} compactions, {before:,} bytes of tables before, {report['bytes_after']:,} after"
        )
    return FINE


def _flush(arguments: argparse.Namespace) -> int:
    with open_to_write(arguments, create=False) as store:
        result = store.flush_memtable()
        tables = result.tables if result is not None else ()
    report = {
        "tables": [table.name for table in tables],
        "records": sum(table.entries for table in tables),
        "bytes": sum(table.size for table in tables),
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        print(f"{report['records']:,} records in {len(tables)} tables of {report['bytes']:,} bytes")
    return FINE


def _checkpoint(arguments: argparse.Namespace) -> int:
    with open_to_write(arguments, create=False) as store:
        info = store.checkpoint(arguments.destination)
    if arguments.json:
        print(json.dumps(asdict(info)))
    else:
        how = "linked" if not info.copied_bytes else f"{info.copied_bytes:,} of them copied"
        print(f"{info.path}: {info.tables} tables of {info.bytes:,} bytes, {how}")
    return FINE


def _destroy(arguments: argparse.Namespace) -> int:
    from lsmproc.destruction import destroy  # noqa: PLC0415 - the engine is not needed to print help

    path = os.path.abspath(arguments.path)
    if not arguments.yes and os.path.isdir(path):
        if not sys.stdin.isatty():
            raise CannotError(f"destroy asks before it removes {path}, and nobody is there to answer: give --yes")
        print(
            f"Remove the store {path} and all that is in it? There is no way back. Type its name to confirm: ", end=""
        )
        sys.stdout.flush()
        if sys.stdin.readline().strip() not in {os.path.basename(path), path}:
            print("lsmproc: nothing was removed", file=sys.stderr)
            return NEGATIVE
    destroy(path)
    print(f"{path} is removed")
    return FINE


def _bytes(store: LSMStore) -> int:
    return sum(file.size for file in store.live_files())
