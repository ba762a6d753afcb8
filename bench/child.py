"""Runs modules of this package in processes of their own, wherever it was imported from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Of the package that this benchmark measures: a checkout, or site-packages.
_ROOT = Path(__file__).parent.parent.parent


def command(module: str, *arguments: str) -> list[str]:
    """What starts ``lsmproc.bench.<module>``. ``-P``: nothing is imported from the working directory."""
    return [sys.executable, "-P", "-m", f"lsmproc.bench.{module}", *arguments]


def environment() -> dict[str, str]:
    """The present one, with this package first on the path."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}
