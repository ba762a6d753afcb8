"""Changing settings of an open store: all that were asked for, or none, and what did change.

Which settings can change is told by the fields of LSMConfig themselves (``Option.live``). A change counts from the next
decision on: the next table is written with it, the next memtable is as large, the next pass picks with it. What the Env
decides is passed on to it, if it is the store's own.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lsmproc.config import LSMConfig, OptionChange
from lsmproc.config.checks import unknown_setting
from lsmproc.config.option_changes import option_changes, wrong_values
from lsmproc.env import DECIDED_HERE
from lsmproc.errors import ClosedError, ConfigError
from lsmproc.opening.option_history import record_options

if TYPE_CHECKING:
    from lsmproc.opening.store_parts import StoreParts

_FIELDS = {field.name: field for field in fields(LSMConfig)}
_INSTEAD = {
    "data_dir": "close the store, move its directory, and open it there",
    "read_only": "close the store and open it with read_only as you want it",
    "create_if_missing": "it only counts while a store is opened",
    "error_if_exists": "it only counts while a store is opened",
}


def change_options(parts: StoreParts, changes: dict[str, Any]) -> tuple[OptionChange, ...]:
    """Change settings of the open store; see LSMStore.set_options. REQUIRES: ``parts.whole_lock``."""
    if parts.closed:
        parts.pin().close()  # Raises what ended the store, if that was a fork.
        raise ClosedError("the store is closed; open it again with lsmproc.open()")
    refused = {name: problem for name in changes if (problem := _refusal(parts, name)) is not None}
    if refused:
        others = {name: value for name, value in changes.items() if name not in refused}
        raise ConfigError([*refused.values(), *wrong_values(parts.config, others)])
    before = parts.written_settings()
    config = parts.config.replace(**changes)
    of_env = {name: value for name, value in changes.items() if name in DECIDED_HERE}
    if of_env:
        parts.env.set_options(**of_env)
    parts.reconfigure(config)
    changed = option_changes(before, parts.written_settings())
    if changed and not config.read_only:
        record_options(parts.fs, parts.written_settings())
    return changed


def _refusal(parts: StoreParts, name: str) -> str | None:
    """Why the setting ``name`` cannot be changed now, and what to do instead; None if it can."""
    if name not in _FIELDS:
        return unknown_setting(name, _FIELDS)
    if not _FIELDS[name].metadata["option"].live:
        instead = _INSTEAD.get(name, f"close the store and open it with {name}=...")
        return f"{name} is fixed while the store is open: {instead}"
    if name in DECIDED_HERE and not parts.owns_env:
        return (
            f"{name} belongs to the Env that this store shares: change it for all with db.env.set_options({name}=...)"
        )
    return None
