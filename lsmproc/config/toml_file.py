"""Settings in a TOML file: one key for each setting, at the top level.

The standard parser tells no line numbers, so the line of a key is looked up in the text: the first line that begins
with the key and an equals sign. A key inside a multi-line string could fool that, which would only make a message
point at the wrong line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from lsmproc.config.explanation import explanation_lines
from lsmproc.config.layers import Layer
from lsmproc.errors import ConfigError

_KEY = re.compile(r"""^[ \t]*(?:\[{1,2}[ \t]*)?["']?([A-Za-z0-9_-]+)["']?[ \t]*(?:[.=\]])""", re.MULTILINE | re.ASCII)
_MAX_FILE_BYTES = 1 << 16  # six times all settings with their explanations
_MAX_LINE_DOTS = 256  # a key with many parts takes the parser time in their square
_PLACE = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")


def read_toml(path: str | os.PathLike[str]) -> Layer:
    """The settings of a file with the line of each. Raises ConfigError if it is no TOML, OSError if not readable."""
    with open(path, "rb") as file:
        return parse_toml(file.read(_MAX_FILE_BYTES + 1), os.fsdecode(path))


def parse_toml(data: bytes, name: str) -> Layer:
    """The settings in the bytes of a file called ``name``, with the line of each."""
    # tomllib takes 5 ms to import, and most processes read no file.
    import tomllib  # noqa: PLC0415

    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError([f"{name}: a file of settings has up to {_MAX_FILE_BYTES} bytes"])
    if max(line.count(b".") for line in data.split(b"\n")) > _MAX_LINE_DOTS:
        raise ConfigError([f"{name}: a line has more than {_MAX_LINE_DOTS} dots"])
    try:
        text = data.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}:{line}: not UTF-8, as TOML must be"]) from error
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        line = int(place[1]) if place else text.count("\n") + 1
        raise ConfigError([f"{name}:{line}: {_PLACE.sub('', message)}"]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{name}: {error}"]) from error
    origins: dict[str, str] = {}
    line, counted = 1, 0
    for match in _KEY.finditer(text):
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        origins.setdefault(match[1], f"{name}:{line}")
    return Layer(values, {key: origins.get(key, name) for key in values})


def write_toml(described: tuple[Field[Any], ...], values: Mapping[str, Any], *, explained: bool) -> str:
    """The settings in ``values`` as TOML, in the order of ``described``; with ``explained``, each under comments.

    A setting that is not in ``values`` is left out, or with ``explained`` written as a comment.
    """
    lines: list[str] = []
    for setting in described:
        name = setting.name
        if explained:
            lines.extend(("", *(f"# {line}" for line in explanation_lines(setting))))
        if name in values:
            lines.append(f"{name} = {setting.metadata['option'].write(values[name])}")
        elif explained:
            lines.append(f'# {name} = "..."')
    return "\n".join(lines).lstrip("\n") + "\n"
