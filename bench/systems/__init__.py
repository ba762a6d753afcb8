"""The systems that can be measured, by name. A system is imported only by the session that measures it."""

from __future__ import annotations

from importlib import import_module, util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.systems.system import OpenSystem

# name: (module that holds its open_system, package that must be installed)
_PLACES = {
    "lsmproc": ("bench.systems.lsmproc_system", "lsmproc"),
    "plyvel": ("bench.systems.plyvel_system", "plyvel"),
    "rocksdict": ("bench.systems.rocksdict_system", "rocksdict"),
    "lmdb": ("bench.systems.lmdb_system", "lmdb"),
    "sqlite3": ("bench.systems.sqlite3_system", "sqlite3"),
}
OURS = "lsmproc"
LSM_PEERS = ("plyvel", "rocksdict")  # the better of these two is what counts
NAMES = tuple(_PLACES)


def installed(name: str) -> bool:
    """Whether the package of a system can be imported here."""
    return util.find_spec(_PLACES[name][1]) is not None


def opener(name: str) -> OpenSystem:
    """What opens a store of the system. Raises ImportError if its package is missing, KeyError for no such name."""
    found: OpenSystem = import_module(_PLACES[name][0]).open_system
    return found
