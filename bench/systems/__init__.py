"""The systems that can be measured, by name. A system is imported only by the session that measures it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.bench.systems.system import OpenSystem

OURS = "lsmproc"
LSM_PEERS = ("plyvel", "rocksdict")  # the better of these two is what counts
NAMES = (OURS, *LSM_PEERS, "lmdb", "sqlite3")
_MARK = ":"  # between lsmproc and the name of a file of settings
EXTRA = 'pip install "lsmproc[bench]"'  # brings the peers


def installed(name: str) -> bool:
    """Whether the package of a system, which has its name, can be imported here."""
    return util.find_spec(name.partition(_MARK)[0]) is not None


def configured(files: Sequence[str] | None) -> dict[str, str]:
    """Names of the systems that lsmproc with each file of settings is, and the files: ``lsmproc:tuned``, tuned.toml."""
    names: dict[str, str] = {}
    for file in files or ():
        name = f"{OURS}{_MARK}{Path(file).stem}"
        names[name if name not in names else f"{name}-{len(names) + 1}"] = file
    return names


def is_ours(name: str) -> bool:
    """Whether a system is lsmproc, with whatever settings."""
    return name.partition(_MARK)[0] == OURS


def opener(name: str) -> OpenSystem:
    """What opens a store of the system. Raises ImportError if its package is missing, KeyError for no such name."""
    if name != OURS and is_ours(name):
        from lsmproc.bench.systems.lsmproc_system import open_configured  # noqa: PLC0415 - a session needs one

        return partial(open_configured, name)
    match name:
        case "lsmproc":
            from lsmproc.bench.systems.lsmproc_system import open_system  # noqa: PLC0415 - a session needs one
        case "plyvel":
            from lsmproc.bench.systems.plyvel_system import open_system  # noqa: PLC0415
        case "rocksdict":
            from lsmproc.bench.systems.rocksdict_system import open_system  # noqa: PLC0415
        case "lmdb":
            from lsmproc.bench.systems.lmdb_system import open_system  # noqa: PLC0415
        case "sqlite3":
            from lsmproc.bench.systems.sqlite3_system import open_system  # noqa: PLC0415
        case _:
            raise KeyError(name)
    return open_system
