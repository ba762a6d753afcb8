"""``lsmproc config``: the settings of a store, where each comes from, what is wrong with them, how two sets differ."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from lsmproc.cli.argument_groups import add_command, add_json, add_settings
from lsmproc.cli.exit_codes import FINE, NEGATIVE, CannotError

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.config import ResolvedConfig, Sources
    from lsmproc.config.advice import Surroundings

_EXAMPLES = """
lsmproc config show /data/store --changed
lsmproc config check app.toml --store /data/store
lsmproc config diff durable app.toml
lsmproc config explain level0_stop_writes_trigger
lsmproc config profiles
"""
_SHOW_EXAMPLES = """
lsmproc config show --profile durable --changed
lsmproc config show /data/store --json         what a command would open that store with
LSMPROC_COMPACTION_WORKERS=4 lsmproc config show app.toml
"""
_CHECK_EXAMPLES = """
lsmproc config check app.toml
lsmproc config check app.toml --store /data/store     also against what that store was seen to do
lsmproc config check --profile low-latency --set rate_limit_bytes_per_sec=4MiB/s --store /data/store
"""
_DIFF_EXAMPLES = """
lsmproc config diff default bulk-load
lsmproc config diff /data/store app.toml       what opening it with that file would change
"""
_EXPLAIN_EXAMPLES = """
lsmproc config explain wal_sync
lsmproc config explain memtable_max_bytes block_cache_bytes --json
"""
_PROFILES_EXAMPLES = """
lsmproc config profiles
lsmproc config profiles shared-host > app.toml
"""


def add_to(commands: Commands) -> None:
    """Declare the command, and under it one for each question."""
    parser = add_command(
        commands,
        "config",
        _refuse,
        summary="show, check, compare and explain settings",
        details="Settings come, each over the one before, from the defaults; the store's record, unless a profile\n"
        "or file is named; a profile; a file; the environment (LSMPROC_ and the name in capitals; LSMPROC_PROFILE\n"
        "and LSMPROC_CONFIG); the command line. lsmproc config WHAT --help tells more of each.",
        examples=_EXAMPLES,
    )
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT")
    show = _kind(kinds, "show", _show, "print each setting with its value and its origin", _SHOW_EXAMPLES)
    show.add_argument("target", metavar="FILE-or-PATH", nargs="?", help="a TOML file, or the directory of a store")
    show.add_argument("--changed", action="store_true", help="only what is not the default")
    add_settings(show)
    add_json(show, "one JSON object")
    check = _kind(
        kinds, "check", _check, "find everything that is wrong with settings, and what is likely to", _CHECK_EXAMPLES
    )
    check.add_argument("target", metavar="FILE-or-PATH", nargs="?", help="a TOML file, or the directory of a store")
    check.add_argument("--store", metavar="PATH", help="a store to hold them against: how fast it was seen to flush")
    add_settings(check)
    add_json(check, "one JSON object")
    diff = _kind(kinds, "diff", _diff, "print how two sets of settings differ; exit code 1 if they do", _DIFF_EXAMPLES)
    for name in ("before", "after"):
        diff.add_argument(name, metavar=name.upper(), help="a profile, a TOML file, or the directory of a store")
    add_json(diff, "one JSON object")
    explain = _kind(
        kinds,
        "explain",
        _explain,
        "say what a setting decides, accepts and costs, and when to change it",
        _EXPLAIN_EXAMPLES,
    )
    explain.add_argument("keys", metavar="KEY", nargs="+")
    add_json(explain, "one JSON object for each")
    profiles = _kind(kinds, "profiles", _profiles, "list the profiles, or print one", _PROFILES_EXAMPLES)
    profiles.add_argument("name", metavar="NAME", nargs="?")
    add_json(profiles, "one JSON object")


def _kind(kinds: Commands, name: str, run: Any, summary: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(kinds, name, run, summary=summary, examples=examples)
    parser.set_defaults(command=f"config {name}")
    return parser


def _refuse(_: argparse.Namespace) -> int:
    raise CannotError("say what to do: show, check, diff, explain or profiles; lsmproc config --help tells more")


def _show(arguments: argparse.Namespace) -> int:
    resolved = _sources(arguments).resolve()
    rows = [row for row in _rows(resolved) if not arguments.changed or row.changed]
    if arguments.json:
        print(json.dumps({row.name: {"value": row.written, "origin": row.origin} for row in rows}))
        return FINE
    width = max((len(f"{row.name} = {row.written}") for row in rows), default=0)
    for row in rows:
        print(f"{f'{row.name} = {row.written}':<{width}}  # {row.origin}")
    return FINE


def _check(arguments: argparse.Namespace) -> int:
    from lsmproc.config.advice import advise  # noqa: PLC0415 - not needed to print help
    from lsmproc.errors import ConfigError  # noqa: PLC0415 - the same

    problems: tuple[str, ...] = ()
    warnings: list[str] = []
    try:
        resolved = _sources(arguments).resolve()
    except ConfigError as error:
        problems = error.problems
    else:
        for advice in advise(resolved.config, _surroundings(arguments)):
            origin = next((at for name in advice.names if (at := resolved.origins[name]) != "default"), "default")
            warnings.append(f"{origin}: {advice.sentence}")
    if arguments.json:
        print(json.dumps({"problems": problems, "warnings": warnings}))
    else:
        for problem in problems:
            print(f"problem: {problem}")
        for warning in warnings:
            print(f"warning: {warning}")
        print(f"{len(problems)} problems, {len(warnings)} warnings")
    return NEGATIVE if problems else FINE


def _diff(arguments: argparse.Namespace) -> int:
    from lsmproc.config.option_changes import option_changes  # noqa: PLC0415 - not needed to print help

    changes = option_changes(_written(arguments.before), _written(arguments.after))
    if arguments.json:
        tree = {change.name: {"before": change.before, "after": change.after} for change in changes}
        print(json.dumps(tree))
    else:
        for change in changes:
            print(change)
    return NEGATIVE if changes else FINE


def _explain(arguments: argparse.Namespace) -> int:
    from lsmproc.config import LSMConfig  # noqa: PLC0415 - not needed to print help

    texts = {key: LSMConfig.explain(key) for key in arguments.keys}
    if arguments.json:
        for field in fields(LSMConfig):
            if field.name in texts:
                option = field.metadata["option"]
                tree = {"name": field.name, "what": option.what, "when": option.when, "costs": option.costs}
                print(json.dumps({**tree, "accepts": option.accepts, "live": option.live}))
    else:
        print("\n\n".join(texts.values()))
    return FINE


def _profiles(arguments: argparse.Namespace) -> int:
    from lsmproc.config import profile_names  # noqa: PLC0415 - not needed to print help
    from lsmproc.config.profiles import profile_layer, profile_summary, profile_text  # noqa: PLC0415 - the same

    if arguments.name is not None:
        layer = profile_layer(arguments.name)  # Raises for an unknown name.
        print(json.dumps(layer.values) if arguments.json else profile_text(arguments.name), end="")
        return FINE
    summaries = {name: profile_summary(name) for name in profile_names()}
    if arguments.json:
        print(json.dumps(summaries))
    else:
        for name, summary in summaries.items():
            print(f"{name:<16} {summary}")
    return FINE


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    written: str
    origin: str
    changed: bool  # not the default, wherever it comes from: OPTIONS of a store name every setting


def _rows(resolved: ResolvedConfig) -> list[_Row]:
    return [
        _Row(
            field.name,
            field.metadata["option"].write(getattr(resolved.config, field.name)),
            resolved.origins[field.name],
            getattr(resolved.config, field.name) != field.default,
        )
        for field in fields(resolved.config)
        if field.name != "data_dir"
    ]


def _sources(arguments: argparse.Namespace) -> Sources:
    """The sources that a TARGET and the options mean; a store is not needed."""
    from lsmproc.cli.settings_sources import sources_of  # noqa: PLC0415 - not needed to print help

    target = arguments.target
    store = getattr(arguments, "store", None)
    if target is not None and not os.path.isdir(target):
        if arguments.config is not None:
            raise CannotError(f"two files of settings are given, {target} and {arguments.config}: name one of them")
        if not os.path.exists(target):
            raise CannotError(f"{target}: there is no such file or directory")
        arguments.config = target
    elif target is not None:
        store = target
    return sources_of(arguments, store or os.curdir)


def _surroundings(arguments: argparse.Namespace) -> Surroundings:
    import psutil  # noqa: PLC0415 - not needed to print help

    from lsmproc.config.advice import Surroundings  # noqa: PLC0415 - the same
    from lsmproc.monitoring.flush_history import flush_rate_seen  # noqa: PLC0415 - the same

    store = arguments.store
    if store is None and arguments.target is not None and os.path.isdir(arguments.target):
        store = arguments.target
    if store is not None and not os.path.isdir(store):
        raise CannotError(f"there is no store at {store}; check the path")
    seen = flush_rate_seen(store) if store is not None else None
    return Surroundings(os.cpu_count(), psutil.virtual_memory().total, seen)


def _written(source: str) -> dict[str, str]:
    """What a profile, a file, or the record of a store says, as TOML writes it."""
    from lsmproc.cli.settings_sources import recorded_settings  # noqa: PLC0415 - not needed to print help
    from lsmproc.config import LSMConfig, profile_names  # noqa: PLC0415 - the same
    from lsmproc.config.option_changes import written_settings  # noqa: PLC0415 - the same

    if source in profile_names():
        return written_settings(LSMConfig.from_profile(source, os.curdir))
    if os.path.isdir(source):
        settings = recorded_settings(source)
        if settings is None:
            raise CannotError(f"{source} has no record of options: it is no store, or was never opened to write since")
        return settings
    if os.path.isfile(source):
        return written_settings(LSMConfig.from_toml(source, data_dir=os.curdir))
    raise CannotError(f"{source} is no profile ({', '.join(profile_names())}), no file and no directory")
