"""Where the settings of a store come from, each over the one before, and which of them counts.

1. the defaults of LSMConfig;
2. the options that the store had when it was open last, if the caller wants them;
3. a profile that comes with the package;
4. a TOML file;
5. the environment: ``LSMPROC_`` and the name of a setting in capitals, as in ``LSMPROC_COMPACTION_WORKERS=4``;
   ``LSMPROC_PROFILE`` and ``LSMPROC_CONFIG`` name profile and file where the caller names none;
6. the arguments of the call or of the command line.

Nothing reads the environment on its own: ``lsmproc.open`` and ``LSMConfig`` take what they are given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lsmproc.config.checks import check, in_line_order
from lsmproc.config.layers import SYNONYMS, Layer, merged
from lsmproc.config.lsm_config import LSMConfig
from lsmproc.config.profiles import profile_layer
from lsmproc.config.toml_file import read_toml
from lsmproc.errors import ConfigError

DEFAULT = "default"
ARGUMENT = "argument"
_PREFIX = "LSMPROC_"
_NO_SETTINGS = frozenset({"LSMPROC_PROFILE", "LSMPROC_CONFIG"})
# Names that other parts of the package put into the environment of their children and tests.
_OTHERS = ("LSMPROC_STRESS_", "LSMPROC_MODEL_")


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """The settings that count, and the origin of each: "default", "profile durable:12", "app.toml:3", ..."""

    config: LSMConfig
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of the settings of one store. ``layers`` stand over the defaults, under all that is named here."""

    data_dir: str | os.PathLike[str]
    profile: str | None = None
    file: str | os.PathLike[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    def resolve(self) -> ResolvedConfig:
        """The settings. Raises ConfigError with all problems of all sources, each with its place; OSError of the file.

        A profile or a file that cannot be used at all does not hide what is wrong in the others.
        """
        problems: list[str] = []
        layers = [*self.layers]
        layers += self._usable(problems, self._profile_layer)
        layers += self._usable(problems, self._file_layer)
        layers.append(environment_layer(self.environment))
        layers.append(Layer({"data_dir": self.data_dir, **self.arguments}))
        values, origins = merged(tuple(layers))
        checked, found = check(fields(LSMConfig), values)
        places = {name: place for name, place in origins.items() if place != ARGUMENT}
        problems += [problem.text(places) for problem in in_line_order(found, places)]
        if problems:
            raise ConfigError(problems)
        return ResolvedConfig(LSMConfig(**checked), _all_origins(values, origins))

    def _profile_layer(self) -> Layer | None:
        name = self.profile if self.profile is not None else self.environment.get("LSMPROC_PROFILE")
        return profile_layer(name) if name else None

    def _file_layer(self) -> Layer | None:
        file = self.file if self.file is not None else self.environment.get("LSMPROC_CONFIG")
        return read_toml(file) if file else None

    @staticmethod
    def _usable(problems: list[str], read: Callable[[], Layer | None]) -> list[Layer]:
        try:
            layer = read()
        except ConfigError as error:
            problems += error.problems
            return []
        return [] if layer is None else [layer]


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The settings in the variables of an environment, each with the variable as its origin."""
    names = {name: name.removeprefix(_PREFIX).lower() for name in sorted(environment) if _is_setting(name)}
    values = {setting: setting_value(environment[name]) for name, setting in names.items()}
    return Layer(values, {setting: f"environment {name}" for name, setting in names.items()})


def setting_value(text: str) -> object:
    """A value as people write it at a prompt: as TOML reads it (4, true, [16, 12]), or else as text (64MiB, zstd)."""
    import tomllib  # noqa: PLC0415 - takes 5 ms, and most processes get no setting as text

    try:
        read: Any = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    return read["value"] if set(read) == {"value"} else text.strip()


def _is_setting(name: str) -> bool:
    return name.startswith(_PREFIX) and name not in _NO_SETTINGS and not name.startswith(_OTHERS)


def _all_origins(values: Mapping[str, object], origins: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for setting in fields(LSMConfig):
        name = setting.name
        source = name if name in values else SYNONYMS.get(name, name)
        found[name] = origins.get(source, ARGUMENT) if source in values else DEFAULT
    return found
