"""``lsmproc info``: what a store is, from its files alone; it may be open."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import TYPE_CHECKING, Any

from lsmproc.cli.argument_groups import add_command, add_json
from lsmproc.cli.exit_codes import FINE
from lsmproc.errors import NotAStoreError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands

_EXAMPLES = """
lsmproc info /data/store
lsmproc info /data/store --json
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "info",
        run,
        summary="print what a store is: who has it open, its tables, its log and its options",
        details="Reads the manifest and names of files, takes no lock and changes nothing; of a store that is open\n"
        "the figures are those of this moment.",
        examples=_EXAMPLES,
    )
    parser.add_argument("path", metavar="PATH", help="directory of the store")
    add_json(parser, "one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    tree = _gather(os.path.abspath(arguments.path))
    if arguments.json:
        print(json.dumps(tree))
        return FINE
    for name, value in tree.items():
        if name == "levels":
            for level in value:
                print(f"{'level ' + str(level['level']):<21}{level['tables']} tables, {level['bytes']:,} bytes")
        elif name == "options":
            for option, written in value.items():
                print(f"{'option':<21}{option} = {written}")
        elif value is not None:
            label = "last owner" if name == "owner" and not tree["open"] else name.replace("_", " ")
            print(f"{label:<21}{_shown(value)}")
    return FINE


def _gather(path: str) -> dict[str, Any]:
    from lsmproc.cli.settings_sources import recorded_settings  # noqa: PLC0415 - not needed to print help
    from lsmproc.config import LSMConfig  # noqa: PLC0415 - the same
    from lsmproc.config.option_changes import written_settings  # noqa: PLC0415 - the same
    from lsmproc.formats.file_names import CURRENT  # noqa: PLC0415 - the same
    from lsmproc.monitoring.flush_history import fastest  # noqa: PLC0415 - the same
    from lsmproc.storage.directory_lock import owner_of  # noqa: PLC0415 - the same
    from lsmproc.storage.file_system import PosixFileSystem  # noqa: PLC0415 - the same
    from lsmproc.storage.lock_holder import lock_is_held  # noqa: PLC0415 - the same
    from lsmproc.storage.manifest import read_manifest  # noqa: PLC0415 - the same

    if not os.path.isdir(path) or not os.path.exists(os.path.join(path, CURRENT)):
        raise NotAStoreError(f"there is no store at {path}; check the path")
    fs = PosixFileSystem(path)
    try:
        manifest = read_manifest(fs)
        names = fs.list_directory()
        owner = owner_of(fs)
    finally:
        fs.shut()
    version = manifest.version
    files = [file for _, file in version.files()]
    last = version.last_sequence
    defaults = written_settings(LSMConfig(data_dir=path))
    options = {name: text for name, text in (recorded_settings(path) or {}).items() if defaults.get(name) != text}
    return {
        "path": path,
        "open": lock_is_held(path),
        "owner": owner or None,
        "store_uuid": manifest.store_uuid.hex(),
        "manifest": f"MANIFEST-{manifest.number:06d}",
        "openings": version.epoch,
        "tables": len(files),
        "records_in_tables": sum(file.entries for file in files),
        "bytes_of_tables": sum(file.size for file in files),
        "newest_in_tables": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(last / 1e9)) if last else None,
        "log_segments": sum(name.endswith(".wal") for name in names),
        "flush_bytes_per_sec": fastest(version.levels[0]),
        "levels": [
            {"level": number, "tables": len(level), "bytes": sum(file.size for file in level)}
            for number, level in enumerate(version.levels)
            if level
        ],
        "options": options,
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
