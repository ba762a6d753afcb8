"""One setting: what it means, what it accepts, and how its value is written in a file.

An :class:`Option` stands in the metadata of each field of ``LSMConfig``, so that the type, the default, the limits
and the words for people are declared in one place. The functions below it declare a field of each kind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lsmproc.config.units import (
    format_bytes,
    format_milliseconds,
    format_seconds,
    parse_bytes,
    parse_milliseconds,
    parse_seconds,
)

_MOST_CPUS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A setting's documentation and its rules.

    ``read`` turns a value from a caller or a file into the one kept, or raises ValueError with a sentence that
    completes "<name> = <value>: ..."; ``write`` gives the value's TOML literal.
    """

    what: str  # one sentence: what the value decides
    when: str  # who should change it, and in which direction
    costs: str  # what is paid for it
    accepts: str  # the accepted values, in words
    read: Callable[[object], object]
    write: Callable[[Any], str]
    live: bool = False  # whether ``set_options`` changes it while the store is open


def size(
    default: int | None,
    *,
    low: int,
    high: int,
    what: str,
    when: str,
    costs: str,
    none: str = "",
    rate: bool = False,
    live: bool = False,
) -> Any:
    """A field of bytes: a whole number or text such as "64MiB" (with ``rate``, also "64MiB/s").

    With ``none`` given, that word in a file or a call means None.
    """
    per = "/s" if rate else ""
    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=_range_text(format_bytes(low) + per, format_bytes(high) + per, none),
        read=_number_reader(lambda text: parse_bytes(text.removesuffix("/s") if rate else text), low, high, none),
        write=_text_writer(lambda value: format_bytes(value) + per, none),
        live=live,
    )
    return _field(default, described)


def count(
    default: int | None,
    *,
    low: int,
    high: int,
    what: str,
    when: str,
    costs: str,
    none: str = "",
    live: bool = False,
) -> Any:
    """A field that counts things: a whole number. With ``none`` given, that word means None."""
    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=_range_text(f"{low:,}", f"{high:,}", none),
        read=_number_reader(None, low, high, none),
        write=lambda value: json.dumps(none) if value is None else str(value),
        live=live,
    )
    return _field(default, described)


def milliseconds(
    default: int | None,
    *,
    low: int,
    high: int,
    what: str,
    when: str,
    costs: str,
    none: str = "",
    live: bool = False,
) -> Any:
    """A field of milliseconds: a whole number or text such as "250ms". With ``none`` given, that word means None."""
    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=_range_text(format_milliseconds(low), format_milliseconds(high), none),
        read=_number_reader(parse_milliseconds, low, high, none),
        write=_text_writer(format_milliseconds, none),
        live=live,
    )
    return _field(default, described)


def seconds(default: int, *, low: int, high: int, what: str, when: str, costs: str, live: bool = False) -> Any:
    """A field of seconds: a whole number or text such as "7d"."""
    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=_range_text(format_seconds(low), format_seconds(high), ""),
        read=_number_reader(parse_seconds, low, high, ""),
        write=_text_writer(format_seconds, ""),
        live=live,
    )
    return _field(default, described)


def flag(default: bool, *, what: str, when: str, costs: str, live: bool = False) -> Any:
    """A field that is true or false."""
    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts="true or false",
        read=_read_flag,
        write=lambda v: str(v).lower(),
        live=live,
    )
    return _field(default, described)


def choice(
    default: str | None, *choices: str, what: str, when: str, costs: str, none: str = "", live: bool = False
) -> Any:
    """A field that holds one of a few words. With ``none`` given, that word means None."""
    words = (*choices, none) if none else choices

    def read(value: object) -> object:
        if none and (value is None or value == none):
            return None
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"must be {_any_of(words)}")
        return value

    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=_any_of(words),
        read=read,
        write=lambda v: json.dumps(v or none),
        live=live,
    )
    return _field(default, described)


def numbers_by_level(
    default: tuple[int, ...], *, low: int, high: int, what: str, when: str, costs: str, live: bool = False
) -> Any:
    """A field of one whole number for each level, level 0 first; a single number stands for all."""

    def read(value: object) -> object:
        items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not items or not all(type(item) is int and low <= item <= high for item in items):
            raise ValueError(f"must be whole numbers from {low} to {high}, one for each level")
        return items

    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=f"whole numbers from {low} to {high}, level 0 first; the last one holds for all deeper levels",
        read=read,
        write=lambda value: json.dumps(list(value)),
        live=live,
    )
    return _field(default, described)


def cpu_numbers(default: tuple[int, ...] | None, *, what: str, when: str, costs: str, live: bool = False) -> Any:
    """A field of CPUs by number, in ascending order; "all" means None."""

    def read(value: object) -> object:
        if value is None or value == "all":
            return None
        items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not items or not all(type(item) is int and 0 <= item < _MOST_CPUS for item in items):
            raise ValueError(f"must be 'all' or numbers of CPUs from 0 to {_MOST_CPUS - 1}")
        return tuple(sorted(set(items)))

    described = Option(
        what=what,
        when=when,
        costs=costs,
        accepts=f"'all', or numbers from 0 to {_MOST_CPUS - 1}",
        read=read,
        write=lambda value: json.dumps("all" if value is None else list(value)),
        live=live,
    )
    return _field(default, described)


def directory(*, what: str, when: str, costs: str) -> dict[str, Option]:
    """The metadata of a required field that names a directory: text or a path object, kept as text.

    Not a whole field as the others: a type checker sees only in ``dataclasses.field`` that there is no default.
    """
    described = Option(
        what=what, when=when, costs=costs, accepts="the path of a directory", read=_read_path, write=_write_text
    )
    return {"option": described}


def _field(default: Any, described: Option) -> Any:
    return field(default=default, metadata={"option": described})


def _number_reader(parse: Callable[[str], int] | None, low: int, high: int, none: str) -> Callable[[object], object]:
    def read(value: object) -> object:
        if none and (value is None or value == none):
            return None
        if isinstance(value, str) and parse is not None:
            value = parse(value)
        # A bool is an int to Python, but never to the person who wrote it.
        if not isinstance(value, int) or isinstance(value, bool):
            wanted = "must be a whole number" + (f" or '{none}'" if none else "")
            raise ValueError(wanted)  # noqa: TRY004  # the caller collects ValueErrors
        if value < low:
            raise ValueError(f"must be at least {low:,}")
        if value > high:
            raise ValueError(f"must be at most {high:,}")
        return int(value)

    return read


def _text_writer(write: Callable[[int], str], none: str) -> Callable[[Any], str]:
    return lambda value: json.dumps(none if value is None else write(value))


def _read_flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  # the caller collects ValueErrors
    return value


def _read_path(value: object) -> object:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError("must be the path of a directory, as text or a path object")
    return path


def _write_text(value: str) -> str:
    # A JSON string is a TOML basic string, except that JSON leaves DEL bare and splits characters beyond the BMP.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _range_text(low: str, high: str, none: str) -> str:
    return f"{low} to {high}" + (f", or '{none}'" if none else "")


def _any_of(words: tuple[str, ...]) -> str:
    quoted = [f"'{word}'" for word in words]
    return " or ".join((", ".join(quoted[:-1]), quoted[-1]))
