"""Look at a directory and its machine, and judge what a store with given settings would meet there."""

from __future__ import annotations

import os

from lsmproc.config import LSMConfig
from lsmproc.doctor.judgement import Finding, judge
from lsmproc.doctor.readings import take_readings


def examine(path: str | os.PathLike[str], config: LSMConfig | None = None, *, write: bool = True) -> list[Finding]:
    """All findings about ``path``, which need not exist yet: then about the directory it would be made in.

    ``write``: also time syncs, on a temporary file that is removed again. Raises OSError when there is nothing to look
    at, or it may not be looked at.
    """
    path = os.path.abspath(path)
    return judge(take_readings(path, write=write), LSMConfig(data_dir=path) if config is None else config)
