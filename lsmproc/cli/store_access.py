"""Opens the store that a command names, with the settings that it was given."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from lsmproc.cli.exit_codes import CannotError

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig
    from lsmproc.store import LSMStore


def open_to_read(arguments: argparse.Namespace) -> LSMStore:
    """The store, which must exist, for reading. Raises what LSMStore raises, and CannotError for a bad --set."""
    return _open(arguments, {"read_only": True, "create_if_missing": False})


def settings_of(arguments: argparse.Namespace) -> LSMConfig:
    """The settings that a command was given, without opening anything. Raises as open_to_read."""
    return _config(arguments, {})


def open_to_write(arguments: argparse.Namespace, *, create: bool) -> LSMStore:
    """The store for writing; ``create`` says whether it may be made. Raises as open_to_read."""
    return _open(arguments, {} if create else {"create_if_missing": False})


def _open(arguments: argparse.Namespace, forced: dict[str, object]) -> LSMStore:
    from lsmproc.store import LSMStore  # noqa: PLC0415 - the engine is not needed to print help

    return LSMStore(_config(arguments, forced), lock_wait_seconds=arguments.wait)


def _config(arguments: argparse.Namespace, forced: dict[str, object]) -> LSMConfig:
    from lsmproc.config import LSMConfig  # noqa: PLC0415 - the engine is not needed to print help

    options = dict(map(_setting, arguments.settings)) | forced
    options.pop("data_dir", None)  # PATH says where
    path = os.path.abspath(arguments.path)
    if arguments.config is not None:
        return LSMConfig.from_toml(arguments.config, profile=arguments.profile, data_dir=path, **options)
    if arguments.profile is not None:
        return LSMConfig.from_profile(arguments.profile, path, **options)
    return LSMConfig.from_options(path, **options)


def _setting(text: str) -> tuple[str, object]:
    """``key=value`` as a pair: the value as TOML reads it (4, true, [16, 12]), or else as text (64MiB, zstd)."""
    import tomllib  # noqa: PLC0415 - takes 5 ms, and most commands have no --set

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise CannotError(f"--set {text}: write it as KEY=VALUE, for example --set memtable_max_bytes=64MiB")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
