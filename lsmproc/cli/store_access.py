"""Opens the store that a command names, with the settings that it was given."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lsmproc.cli.settings_sources import config_of

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.follower.follower import Follower
    from lsmproc.store import LSMStore


def open_to_read(arguments: argparse.Namespace) -> LSMStore:
    """The store, which must exist, for reading. Raises what LSMStore raises, and CannotError for a bad --set."""
    return _open(arguments, {"read_only": True, "create_if_missing": False})


def open_to_look(arguments: argparse.Namespace) -> LSMStore | Follower:
    """As open_to_read, but a store that somebody has open is followed, with a line on standard error that says so."""
    from lsmproc.errors import LockedError  # noqa: PLC0415 - the engine is not needed to print help
    from lsmproc.follower.follower import open_follower  # noqa: PLC0415 - as above

    try:
        return open_to_read(arguments)
    except LockedError:
        follower = open_follower(arguments.path)
    print("lsmproc: the store is open elsewhere; this is what its owner has written by now", file=sys.stderr)
    return follower


def settings_of(arguments: argparse.Namespace) -> LSMConfig:
    """The settings that a command was given, without opening anything. Raises as open_to_read."""
    return config_of(arguments, {})


def open_to_write(arguments: argparse.Namespace, *, create: bool) -> LSMStore:
    """The store for writing; ``create`` says whether it may be made. Raises as open_to_read."""
    return _open(arguments, {} if create else {"create_if_missing": False})


def _open(arguments: argparse.Namespace, forced: dict[str, object]) -> LSMStore:
    from lsmproc.store import LSMStore  # noqa: PLC0415 - the engine is not needed to print help

    return LSMStore(config_of(arguments, forced), lock_wait_seconds=arguments.wait)
