"""The profiles in configs/: complete, valid, and explained key by key."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from importlib.resources import files

import pytest

from lsmproc.config import LSMConfig, profile_names
from lsmproc.config.profiles import profile_layer
from lsmproc.config.toml_file import write_toml
from lsmproc.errors import ConfigError

DELTAS = [name for name in profile_names() if name != "default"]


def test_the_profiles_are_the_documented_ones() -> None:
    """A profile that the package loses on its way is noticed here."""
    expected = "bulk-load default durable low-latency read-heavy shared-host small-footprint write-heavy"
    assert tuple(expected.split()) == profile_names()


@pytest.mark.parametrize("name", profile_names())
def test_each_profile_makes_a_valid_config(name: str) -> None:
    """A profile works as it is."""
    assert "/x" == LSMConfig.from_profile(name, "/x").data_dir


def test_the_default_profile_is_what_the_code_says() -> None:
    """The file is the printed form of the class, comments and all, under a few lines of introduction."""
    defaults = {f.name: f.default for f in fields(LSMConfig) if f.default is not MISSING}
    text = _text("default")
    assert write_toml(fields(LSMConfig), defaults, explained=True) == text.partition("\n\n")[2]
    assert LSMConfig(data_dir="/x") == LSMConfig.from_profile("default", "/x")


@pytest.mark.parametrize("name", DELTAS)
def test_a_profile_holds_only_what_it_changes(name: str) -> None:
    """What equals the default would hide what makes the profile."""
    config, default = LSMConfig.from_profile(name, "/x"), LSMConfig(data_dir="/x")
    same = [key for key in profile_layer(name).values if getattr(config, key) == getattr(default, key)]
    assert [] == same


@pytest.mark.parametrize("name", DELTAS)
def test_each_key_of_a_profile_says_what_when_and_costs(name: str) -> None:
    """Nobody should have to guess why a profile sets a key."""
    explained = re.findall(r"^# What: .+\n# When: .+\n# Costs: .+\n([a-z0-9_]+) = ", _text(name), re.MULTILINE)
    assert list(profile_layer(name).values) == explained


def test_overrides_win_over_a_profile() -> None:
    """A profile is a starting point; either name of syncing overrides the other."""
    config = LSMConfig.from_profile("durable", "/x", wal_flush_every_write=False, max_immutable_memtables=3)
    assert ("interval", 3) == (config.wal_sync, config.max_immutable_memtables)


def test_an_unknown_profile_names_the_likeliest() -> None:
    """A typing mistake gets the same help as in a setting, and a path never leads out of the folder."""
    with pytest.raises(ConfigError, match="did you mean 'durable'"):
        LSMConfig.from_profile("duarble", "/x")
    with pytest.raises(ConfigError, match="there are bulk-load"):
        LSMConfig.from_profile("../../etc/passwd", "/x")


def _text(name: str) -> str:
    return (files("lsmproc") / "configs" / f"{name}.toml").read_text(encoding="utf-8")
