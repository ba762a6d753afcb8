"""Repairing a database in place, and removing one."""

from __future__ import annotations

import logging
import os
from typing import Any

from lsmproc import errors
from lsmproc.compat.plyvel.errors import reraise
from lsmproc.compat.plyvel.options import file_system_name, native_options
from lsmproc.repair.store_repair import repair_store
from lsmproc.storage.store_directory import remove_store, replace_store, unused_name

_log = logging.getLogger("lsmproc")


def repair_db(name: str | bytes, **options: Any) -> None:
    """Save what is sound of the database ``name``, which nobody may have open; options are those of ``DB``.

    The damaged directory is removed if all of it was saved, and kept beside as ``<name>.damaged-<n>`` if not, with a
    warning in the log. Raises IOError if there is no database.
    """
    native_options(**options)
    path = os.path.realpath(file_system_name(name))
    repaired, damaged = unused_name(f"{path}.repaired"), unused_name(f"{path}.damaged")
    try:
        report = repair_store(path, into=repaired)
        replace_store(path, by=repaired, keep_as=damaged)
        if report.verdict == "all kept":
            remove_store(damaged)
            return
    except errors.NotAStoreError as error:
        reraise(errors.StorageError(None, str(error), path)) if not os.path.isdir(path) else reraise(error)
    except errors.Error as error:
        reraise(error)
    what = "; ".join([f"{loss.place}: {loss.reason}" for loss in report.losses] + report.doubts)
    _log.warning("the repair of %s lost something (%s); the damaged files are kept in %s", path, what, damaged)


def destroy_db(name: str | bytes) -> None:
    """Remove the database ``name`` and its directory, unless other files are in there; no error if there is none."""
    try:
        remove_store(os.path.abspath(file_system_name(name)))
    except errors.Error as error:
        reraise(error)
