"""A setting in words, for people: at a prompt, on the command line, and as comments of a file."""

from __future__ import annotations

from dataclasses import MISSING, Field
from typing import Any

from lsmproc.config.checks import unknown_setting
from lsmproc.errors import ConfigError


def explain(described: tuple[Field[Any], ...], name: str) -> str:
    """Default, accepted values, meaning, occasion and price of one setting; raises ConfigError if there is none."""
    known = {f.name: f for f in described}
    if name not in known:
        raise ConfigError([unknown_setting(name, known)])
    setting = known[name]
    option = setting.metadata["option"]
    default = "" if setting.default is MISSING else f" = {option.write(setting.default)}"
    change = "at any time, with db.set_options()" if option.live else "by opening the store again"
    return "\n".join((f"{name}{default}", *explanation_lines(setting), f"Changed: {change}."))


def explanation_lines(setting: Field[Any]) -> tuple[str, ...]:
    """What a field decides, when to change it, what it costs and what it accepts: one line each."""
    option = setting.metadata["option"]
    return (option.what, f"When:    {option.when}", f"Costs:   {option.costs}", f"Accepts: {option.accepts}.")
