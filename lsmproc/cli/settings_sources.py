"""The settings that a command works with, from all their sources: the store's own record, profile, file, environment.

A store that is there is opened with the options that it had last, unless a profile or a file is named: so that a quick
``put`` does not leave a table without filters, or a log with another sync policy, in a store that a service owns.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from lsmproc.cli.exit_codes import CannotError

if TYPE_CHECKING:
    from lsmproc.config import LSMConfig, Sources
    from lsmproc.config.layers import Layer

RECORD_ORIGIN = "OPTIONS of the store"


def sources_of(arguments: argparse.Namespace, path: str, forced: dict[str, object] | None = None) -> Sources:
    """All sources of the settings of the store at ``path``. Raises CannotError for a --set that has no form."""
    from lsmproc.config import Sources  # noqa: PLC0415 - not needed to print help

    options = dict(map(_setting, arguments.settings)) | (forced or {})
    options.pop("data_dir", None)  # PATH says where
    named = arguments.config or arguments.profile
    named = named or os.environ.get("LSMPROC_PROFILE") or os.environ.get("LSMPROC_CONFIG")
    recorded = None if named else recorded_layer(path)
    return Sources(
        os.path.abspath(path),
        profile=arguments.profile,
        file=arguments.config,
        environment=os.environ,
        arguments=options,
        layers=() if recorded is None else (recorded,),
    )


def recorded_layer(path: str) -> Layer | None:
    """What the store at ``path`` was opened with last; None if it does not tell, or not what this release accepts."""
    from lsmproc.config import LSMConfig  # noqa: PLC0415 - not needed to print help
    from lsmproc.config.layers import Layer  # noqa: PLC0415 - the same
    from lsmproc.config.option_changes import RECORDED  # noqa: PLC0415 - the same
    from lsmproc.config.sources import setting_value  # noqa: PLC0415 - the same
    from lsmproc.errors import ConfigError  # noqa: PLC0415 - the same

    settings = recorded_settings(path) or {}
    known = {field.name for field in RECORDED}
    values = {name: setting_value(text) for name, text in settings.items() if name in known}
    try:
        LSMConfig.from_options(path, **values)
    except ConfigError:
        return None
    return Layer(values, dict.fromkeys(values, RECORD_ORIGIN)) if values else None


def recorded_settings(path: str) -> dict[str, str] | None:
    """The record of the store at ``path`` as it stands, or None."""
    from lsmproc.errors import Error  # noqa: PLC0415 - not needed to print help
    from lsmproc.storage.file_system import PosixFileSystem  # noqa: PLC0415 - the same
    from lsmproc.storage.options_file import read_options  # noqa: PLC0415 - the same

    try:
        fs = PosixFileSystem(os.path.abspath(path))
    except (Error, OSError):
        return None
    try:
        return read_options(fs)
    except (Error, OSError):
        return None
    finally:
        fs.shut()


def config_of(arguments: argparse.Namespace, forced: dict[str, object]) -> LSMConfig:
    """The settings that count for the store at ``arguments.path``."""
    return sources_of(arguments, arguments.path, forced).resolve().config


def _setting(text: str) -> tuple[str, object]:
    """``key=value`` as a pair."""
    from lsmproc.config.sources import setting_value  # noqa: PLC0415 - most commands have no --set

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise CannotError(f"--set {text}: write it as KEY=VALUE, for example --set memtable_max_bytes=64MiB")
    return name.strip(), setting_value(value)
