"""The profiles that come with the package: TOML files in ``lsmproc/configs``.

In a checkout that is a link to the top-level ``configs``; wheels and sdists hold the files themselves, so the
same path works in a clone, an editable install and a wheel, zipped or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.config.layers import Layer
from lsmproc.config.toml_file import parse_toml
from lsmproc.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SUFFIX = ".toml"


def profile_names() -> tuple[str, ...]:
    """Names of all profiles, sorted."""
    names = [entry.name for entry in _folder().iterdir()]
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def profile_layer(name: str) -> Layer:
    """The settings of a profile. Raises ConfigError if there is no such profile."""
    names = profile_names()
    if name not in names:
        from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

        close = get_close_matches(str(name), names, n=1)
        remedy = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
        raise ConfigError([f"unknown profile {name!r:.60}: {remedy}"])
    return parse_toml((_folder() / f"{name}{_SUFFIX}").read_bytes(), f"profile {name}")


def profile_text(name: str) -> str:
    """The file of a profile, comments and all. REQUIRES: there is one."""
    return (_folder() / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def profile_summary(name: str) -> str:
    """The first sentence of a profile's introduction. REQUIRES: there is one."""
    introduction = profile_text(name).partition("\n\n")[0]
    words = " ".join(line.removeprefix("#").strip() for line in introduction.splitlines())
    return words.partition(". ")[0].removesuffix(".") + "."


def _folder() -> Traversable:
    # importlib.resources takes 10 ms to import, and most processes ask for no profile.
    from importlib.resources import files  # noqa: PLC0415

    return files("lsmproc") / "configs"
