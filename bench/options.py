"""The options of ``lsmproc bench``: what there is, what goes with what, and what they may be.

Every option is None until it is given, so that one that has no meaning for what is measured is refused and not
silently ignored. Nothing of the engine is imported here: help is quick.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from lsmproc.bench.errors import OptionError
from lsmproc.bench.settings import Settings
from lsmproc.bench.systems import EXTRA, NAMES, configured, installed, is_ours

DEFAULT_ROUNDS = 3
DEFAULT_COUNTS = (100_000, 1_000_000, 5_000_000)
LARGE = {"key_size": 20, "value_size": 1000}  # bytes: the second size that is promised for
_MULTIPLES = {"": 1, "k": 1000, "m": 1_000_000, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}

_STORE: tuple[str, ...] = ("key_size", "value_size", "large", "write_buffer_bytes", "cache_bytes", "bloom_bits")
_STORE += ("compressibility", "seed", "background")
_PLACE = ("dir", "json")
_TABLE = ("num", "reads", "threads", "batch_size", "seek_nexts", "write_rate", "distribution", "defaults", "rounds")
WHAT: dict[str, tuple[str, tuple[str, ...]]] = {
    "table": (
        "the workloads of db_bench and YCSB, lsmproc beside its peers (the default)",
        (
            *_STORE,
            *_PLACE,
            *_TABLE,
            "config",
            "systems",
            "workloads",
            "only",
            "html",
            "resume",
            "against",
            "show",
            "list",
        ),
    ),
    "sizes": (
        "cost against size: time, memory and write amplification of stores of growing size",
        (*_STORE, *_PLACE, "counts", "reads", "rounds", "systems", "html"),
    ),
    "backlog": ("one compaction process against two on the same backlog", (*_STORE, *_PLACE, "num", "rounds")),
    "foreground": ("what a pure Python thread loses while compaction runs", (*_STORE, *_PLACE, "num", "rounds")),
    "limiter": (
        "bytes per second against the setting, and latency of puts with a limiter and without",
        (*_STORE, *_PLACE, "num", "write_rate", "rate", "html"),
    ),
    "micro": ("each inner step by itself: frame, encode, decode, filter, lookup, merge, cursor", ("only",)),
}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare what to measure, and all options."""
    what = "; ".join(f"{name}: {text}" for name, (text, _) in WHAT.items())
    parser.add_argument("what", nargs="?", choices=tuple(WHAT), default="table", metavar="WHAT", help=what)
    _add_settings(parser.add_argument_group("records and settings of the stores"))
    _add_run(parser.add_argument_group("what is run, and what becomes of it"))


def _add_settings(group: argparse._ArgumentGroup) -> None:
    default = {field.name: field.default for field in fields(Settings)}
    for name, what in (
        ("num", "records of a store, and operations of a workload"),
        ("reads", "operations of workloads that read or mix, if fewer than the records"),
        ("key_size", "bytes"),
        ("value_size", "bytes"),
        ("threads", "threads, where a workload does not fix their number"),
        ("batch_size", "records of a batch, keys of a multiread"),
        ("seek_nexts", "records read after each seek"),
        ("write_rate", "puts per second of the writer that is paced"),
        ("write_buffer_bytes", "memtable of each system"),
        ("cache_bytes", "block cache of each system"),
        ("bloom_bits", "filter bits per key of each system"),
        ("seed", "of keys and values"),
    ):
        shown = "" if default[name] is None else f" [{default[name]}]"
        group.add_argument(f"--{name.replace('_', '-')}", type=number, metavar="N", help=f"{what}{shown}")
    group.add_argument(
        "--large", action="store_true", default=None, help="keys of 20 bytes and values of 1,000 instead of 16 and 100"
    )
    group.add_argument("--distribution", choices=("uniform", "zipfian"), help="of the keys of reads and overwrites")
    group.add_argument(
        "--defaults", action="store_true", default=None, help="open each system with its own defaults, not with equals"
    )
    group.add_argument(
        "--compressibility", type=float, metavar="SHARE", help="what compression leaves of a value [0.5]"
    )
    group.add_argument("--background", choices=("process", "thread", "inline"), help="where lsmproc flushes and merges")


def _add_run(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rounds", type=number, metavar="N", help=f"how often everything is measured [{DEFAULT_ROUNDS}]")
    add("--systems", metavar="NAME,...", help=f"of {', '.join(NAMES)} [all that are installed]")
    add(
        "--config",
        metavar="FILE",
        action="append",
        help="lsmproc with this file of settings, and nothing else; given twice, the two are compared",
    )
    add("--workloads", metavar="NAME,...", help="see --list [all]")
    add("--only", metavar="TEXT", help="what has this text in its name")
    add("--counts", metavar="N,...", help="records of the stores of sizes [100k,1M,5M]")
    add("--rate", type=number, metavar="BYTES", help="bytes per second for the limiter [16Mi]")
    add("--dir", metavar="PATH", help="where to make the stores [the directory for temporary files]")
    add("--json", metavar="FILE", help="save the results, after each workload")
    add("--resume", action="store_true", default=None, help="go on with what --json FILE holds already")
    add("--html", metavar="FILE", help="write a page with plots")
    add("--against", metavar="OLD.json", help="compare with saved results")
    add("--show", metavar="OLD.json", help="measure nothing: show saved results")
    add("--list", action="store_true", default=None, help="name the workloads and end")


def number(text: str) -> int:
    """A whole number, also written as 100k, 1M, 16Ki, 64Mi."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ki|mi|gi|k|m|)b?", text.replace("_", "").replace(",", "").lower())
    value = float(found[1]) * _MULTIPLES[found[2]] if found else 0.5
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number: write 50000, 50k, 1M or 16Mi")
    return int(value)


def check(options: argparse.Namespace) -> None:
    """Everything that can be known to fail before hours are spent. Raises OptionError."""
    _check_meaning(options)
    if options.show and not Path(options.show).is_file():
        raise OptionError(f"--show {options.show}: there is no such file")
    for name in ("json", "html"):
        path = getattr(options, name)
        if path and not Path(path).absolute().parent.is_dir():
            raise OptionError(f"--{name} {path}: its directory does not exist")
    if options.json and os.path.exists(options.json) and not options.resume:
        raise OptionError(f"--json {options.json} exists: --resume goes on with it, or choose another name")
    if options.resume and not options.json:
        raise OptionError("--resume goes on with the results in --json FILE: name it")
    if options.dir and not Path(options.dir).is_dir():
        raise OptionError(f"--dir {options.dir}: there is no such directory")
    for file in options.config or ():
        _check_config(file)
    if options.rounds is not None and options.rounds < 1:
        raise OptionError("--rounds must be at least 1")


def _check_config(file: str) -> None:
    from lsmproc.config import LSMConfig  # noqa: PLC0415 - most runs name no file
    from lsmproc.errors import ConfigError  # noqa: PLC0415 - the same

    try:
        LSMConfig.from_toml(file, data_dir="checked")
    except ConfigError as error:
        raise OptionError("; ".join(error.problems)) from None
    except OSError as error:
        raise OptionError(f"--config {file}: {error.strerror}") from None


def _check_meaning(options: argparse.Namespace) -> None:
    """Each option that was given must mean something for what is measured."""
    meant = WHAT[options.what][1]
    known = {name for _, names in WHAT.values() for name in names}
    for name in sorted(known.difference(meant)):
        if getattr(options, name) is not None:
            places = [what for what, (_, names) in WHAT.items() if name in names]
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(f"{flag} has no meaning for {options.what}, only for {', '.join(places)}")


def settings_of(options: argparse.Namespace, **defaults: int) -> Settings:
    """The settings that were asked for. ``defaults`` are those of what is measured. Raises OptionError."""
    given = {field.name: getattr(options, field.name) for field in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    settings = Settings(**(defaults | (LARGE if options.large else {}) | given))
    for name, least in (("num", 1), ("value_size", 1), ("threads", 1), ("batch_size", 1), ("seek_nexts", 1)):
        if getattr(settings, name) < least:
            raise OptionError(f"--{name.replace('_', '-')} must be at least {least}")
    if settings.reads is not None and settings.reads < 1:
        raise OptionError("--reads must be at least 1")
    if settings.write_rate < 1:
        raise OptionError("--write-rate must be at least 1 put per second")
    if settings.write_buffer_bytes < 1 << 10:
        raise OptionError("--write-buffer-bytes must be at least 1Ki")
    if not 0 < settings.compressibility <= 1:
        raise OptionError("--compressibility must be above 0 and at most 1: the share of a value that stays")
    if settings.bloom_bits > 64:
        raise OptionError("--bloom-bits must be at most 64")
    digits = len(str(2 * settings.num))  # inserts add records behind the loaded ones
    if settings.key_size < digits:
        raise OptionError(
            f"--key-size {settings.key_size}: keys of {settings.num} records need {digits} bytes at least"
        )
    return settings


def rounds_of(options: argparse.Namespace) -> int:
    """How often everything is measured."""
    return DEFAULT_ROUNDS if options.rounds is None else int(options.rounds)


def counts_of(options: argparse.Namespace) -> list[int]:
    """The sizes to compare, ascending. Raises OptionError."""
    if options.counts is None:
        return list(DEFAULT_COUNTS)
    try:
        counts = sorted({number(part) for part in options.counts.split(",")})
    except argparse.ArgumentTypeError as error:
        raise OptionError(f"--counts: {error}") from None
    if counts[0] < 1:
        raise OptionError("--counts must be at least 1 each")
    return counts


def systems_of(options: argparse.Namespace, tell: Callable[[str], None]) -> list[str]:
    """The systems to measure; each one that is not installed is told of and left out. Raises OptionError."""
    asked = list(NAMES) if options.systems is None else chosen(options.systems, NAMES, "system")
    if options.config:
        asked = [*configured(options.config), *(asked if options.systems is not None else ())]
    systems = [name for name in asked if installed(name)]
    missing = [name for name in asked if name not in systems]
    if missing:
        tell(f"NOT MEASURED, because not installed: {', '.join(missing)}. To compare with all peers: {EXTRA}")
    if not systems:
        raise OptionError(f"none of the systems {', '.join(asked)} is installed: {EXTRA}")
    if not any(map(is_ours, systems)):
        tell("without lsmproc among the systems there are no ratios")
    return systems


def chosen(text: str, known: Sequence[str], kind: str) -> list[str]:
    """The names in a list with commas, each of which must be known. Raises OptionError."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise OptionError(f"there is no {kind} {', '.join(unknown) or repr(text)}; choose from {', '.join(known)}")
    return names
