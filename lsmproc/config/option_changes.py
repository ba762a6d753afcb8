"""How two sets of settings differ: what a store was opened with last time and now, a profile and a file, ...

Settings are compared as they are written in a file, so that a set of another release can be compared as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from lsmproc.config.lsm_config import LSMConfig
from lsmproc.errors import ConfigError

# What belongs to one opening and not to the store; and the second name of a setting.
NOT_OF_THE_STORE = frozenset({"data_dir", "create_if_missing", "error_if_exists", "read_only", "wal_flush_every_write"})
RECORDED = tuple(field for field in fields(LSMConfig) if field.name not in NOT_OF_THE_STORE)


@dataclass(frozen=True, slots=True)
class OptionChange:
    """A setting that is not what it was, with both values as TOML writes them; None where it is not known."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        """As people read it: memtable_max_bytes: "32MiB" -> "64MiB"."""
        return f"{self.name}: {self.before or '(unknown)'} -> {self.after or '(unknown)'}"


def written_settings(config: LSMConfig) -> dict[str, str]:
    """Every setting of a store as TOML writes it, in the order of LSMConfig; not those of one opening."""
    return {field.name: field.metadata["option"].write(getattr(config, field.name)) for field in RECORDED}


def option_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[OptionChange, ...]:
    """The settings that differ, in the order of ``after``. One that only one side knows is a change as well."""
    names: Iterable[str] = dict.fromkeys((*after, *before))
    return tuple(
        OptionChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def wrong_values(config: LSMConfig, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Every problem that ``config`` with these changes would have; the names are those of settings."""
    try:
        config.replace(**changes)
    except ConfigError as error:
        return error.problems
    return ()
