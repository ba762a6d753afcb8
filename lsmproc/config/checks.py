"""Everything that can be wrong with a set of settings, found in one go.

A problem names the settings it is about, says what is wrong and what would be right. Settings are checked one by
one first; a rule between several of them is only asked when each of them is sound.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass
from typing import Any

# What other stores call a setting of ours: people bring these names along.
_ELSEWHERE = {
    "block_cache_size": "block_cache_bytes",
    "block_size": "block_bytes",
    "bloom_filter_bits": "bloom_bits_per_key",
    "db_path": "data_dir",
    "fsync": "wal_sync",
    "lru_cache_size": "block_cache_bytes",
    "max_background_compactions": "compaction_workers",
    "max_background_flushes": "flush_workers",
    "max_bytes_for_level_base": "level_base_bytes",
    "max_bytes_for_level_multiplier": "level_size_multiplier",
    "max_write_buffer_number": "max_immutable_memtables",
    "path": "data_dir",
    "rate_limit": "rate_limit_bytes_per_sec",
    "sync": "wal_sync",
    "target_file_size_base": "sstable_max_bytes",
    "write_buffer_size": "memtable_max_bytes",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the settings concerned, the first of them to blame, and a sentence."""

    names: tuple[str, ...]
    sentence: str

    def text(self, origins: Mapping[str, str] | None = None) -> str:
        """The sentence, after the place where the first setting with a known place was written."""
        place = self.place(origins)
        return f"{place}: {self.sentence}" if place else self.sentence

    def place(self, origins: Mapping[str, str] | None) -> str:
        """Where the first setting with a known place was written; "" if there is none."""
        return next((origins[name] for name in self.names if origins and name in origins), "")


def in_line_order(problems: list[Problem], origins: Mapping[str, str] | None) -> list[Problem]:
    """Those of a file in the order of its lines, then the others as they were: who corrects a file goes down it."""

    def line(problem: Problem) -> tuple[bool, str, int]:
        file, _, number = problem.place(origins).rpartition(":")
        in_file = bool(file) and number.isdecimal()
        return (False, file, int(number)) if in_file else (True, "", 0)

    return sorted(problems, key=line)


def check(described: tuple[Field[Any], ...], values: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """The settings as the config keeps them, and all problems. REQUIRES: each described field carries an option."""
    known = {f.name: f for f in described}
    problems = [_unknown(name, value, known) for name, value in values.items() if name not in known]
    checked: dict[str, Any] = {}
    bad = set()
    for name, setting in known.items():
        problem = _read_into(checked, setting, values)
        if problem is not None:
            problems.append(problem)
            bad.add(name)
    checked_or_default = {name: f.default for name, f in known.items() if name not in bad} | checked
    for names, broken in _RULES:
        sentence = broken(checked_or_default) if bad.isdisjoint(names) else None
        if sentence is not None:
            problems.append(Problem(names, sentence))
    if not problems:
        _join_sync_settings(checked)
    return checked, problems


def unknown_setting(name: str, known: Mapping[str, object]) -> str:
    """A sentence that says that there is no such setting, with the likeliest one that there is."""
    # Only a mistake pays for this import, not every process that opens a store.
    from difflib import get_close_matches  # noqa: PLC0415

    candidates = dict(zip(known, known, strict=True)) | _ELSEWHERE
    close = get_close_matches(name.lower(), candidates, n=1)
    remedy = f"did you mean '{candidates[close[0]]}'?" if close else "LSMConfig.explain tells of each setting"
    return f"unknown setting '{name}': {remedy}"


def _unknown(name: str, value: object, known: Mapping[str, object]) -> Problem:
    return Problem((name,), _table_sentence(name) if isinstance(value, dict) else unknown_setting(name, known))


def _table_sentence(name: str) -> str:
    return f"[{name}] is a table: settings stand at the top level of the file, without tables"


def _read_into(checked: dict[str, Any], described: Field[Any], values: Mapping[str, object]) -> Problem | None:
    name = described.name
    if name not in values:
        missing = described.default is MISSING
        return Problem((name,), f"{name} is missing: every store needs it") if missing else None
    if isinstance(values[name], dict):
        return Problem((name,), _table_sentence(name))
    try:
        checked[name] = described.metadata["option"].read(values[name])
    except ValueError as error:
        return Problem((name,), f"{name} = {values[name]!r:.60}: {error}")
    return None


def _join_sync_settings(checked: dict[str, Any]) -> None:
    """Let wal_flush_every_write and wal_sync = "every_write" mean the same, whichever was given."""
    if checked.get("wal_flush_every_write") or checked.get("wal_sync") == "every_write":
        checked["wal_flush_every_write"] = True
        checked["wal_sync"] = "every_write"


def _ascending(lower: str, upper: str, why: str) -> tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str | None]]:
    def broken(values: Mapping[str, Any]) -> str | None:
        if values[upper] > values[lower]:
            return None
        return f"{upper} ({values[upper]:,}) must be above {lower} ({values[lower]:,}): {why}"

    return (upper, lower), broken


def _block_above_table(values: Mapping[str, Any]) -> str | None:
    if values["block_bytes"] <= values["sstable_max_bytes"]:
        return None
    return (
        f"block_bytes ({values['block_bytes']:,}) must not be above sstable_max_bytes "
        f"({values['sstable_max_bytes']:,}): a table holds at least one block"
    )


def _sync_contradicts(values: Mapping[str, Any]) -> str | None:
    if values["wal_flush_every_write"] and values["wal_sync"] == "none":
        return "wal_flush_every_write = true contradicts wal_sync = 'none': leave one of them out"
    return None


def _never_opens(values: Mapping[str, Any]) -> str | None:
    if values["error_if_exists"] and not values["create_if_missing"]:
        return "error_if_exists without create_if_missing refuses every directory: turn one of them round"
    return None


def _reads_nothing(values: Mapping[str, Any]) -> str | None:
    if values["error_if_exists"] and values["read_only"]:
        return "read_only with error_if_exists refuses every directory: a store that is only read must exist"
    return None


def _codec_missing(name: str) -> tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str | None]]:
    def broken(values: Mapping[str, Any]) -> str | None:
        if values[name] != "zstd" or importlib.util.find_spec("zstandard") is not None:
            return None
        return f"{name} = 'zstd' needs the package zstandard: pip install 'lsmproc[zstd]'"

    return (name,), broken


# Each rule: the settings it reads, the one to blame first, and a function that says how they break it.
_RULES: tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str | None]], ...] = (
    (("error_if_exists", "create_if_missing"), _never_opens),
    (("read_only", "error_if_exists"), _reads_nothing),
    (("wal_flush_every_write", "wal_sync"), _sync_contradicts),
    (("block_bytes", "sstable_max_bytes"), _block_above_table),
    _codec_missing("compression"),
    _codec_missing("bottommost_compression"),
    _ascending("level0_compaction_trigger", "level0_slowdown_writes_trigger", "a merge comes first"),
    _ascending("level0_slowdown_writes_trigger", "level0_stop_writes_trigger", "writes slow down before they stop"),
    _ascending("soft_pending_compaction_bytes", "hard_pending_compaction_bytes", "writes slow down before they stop"),
)
