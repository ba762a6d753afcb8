"""What a store was opened with last, beside what it is opened with now.

A cache that shrank, or filters that are gone, because one program of two forgot an option: the store still works, only
slower, and nobody knows why. So the options are kept with the store, and a difference is told. Telling is all: trouble
with the record is logged, and never keeps a store from opening.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from lsmproc.config.option_changes import OptionChange, option_changes
from lsmproc.errors import CorruptionError, StorageError
from lsmproc.storage.file_system import FileSystem
from lsmproc.storage.options_file import read_options, write_options

_log = logging.getLogger("lsmproc")


def compare_options(fs: FileSystem, settings: Mapping[str, str], *, record: bool) -> tuple[OptionChange, ...]:
    """How ``settings``, as TOML writes them, differ from those recorded; ``record`` puts them in their place."""
    before = _recorded(fs)
    changes = () if before is None else option_changes(before, settings)
    if changes:
        told = "; ".join(map(str, changes))
        _log.info("%s is opened with other options than last time: %s", fs.path, told)
    if record and (before is None or changes):
        record_options(fs, settings)
    return changes


def record_options(fs: FileSystem, settings: Mapping[str, str]) -> None:
    """Keep ``settings`` with the store. REQUIRES: its lock."""
    try:
        write_options(fs, settings)
    except StorageError as error:
        _log.warning("%s: the options could not be recorded: %s", fs.path, error)


def _recorded(fs: FileSystem) -> dict[str, str] | None:
    try:
        return read_options(fs)
    except (CorruptionError, StorageError) as error:
        _log.warning("%s: the options of the last opening cannot be read, and are recorded anew: %s", fs.path, error)
        return None
