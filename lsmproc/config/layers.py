"""Settings from several sources, a later one over an earlier one, each with the place it was written at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Two names of one setting: a layer that gives one of them overrides both of an earlier layer.
SYNONYMS = {"wal_flush_every_write": "wal_sync", "wal_sync": "wal_flush_every_write"}


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source; ``origins`` tells where each one stands, for example "app.toml:14"."""

    values: Mapping[str, object]
    origins: Mapping[str, str] = field(default_factory=dict)


def merged(layers: tuple[Layer, ...]) -> tuple[dict[str, object], dict[str, str]]:
    """All settings, lowest layer first, and where each one comes from."""
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for name in layer.values:
            values.pop(SYNONYMS.get(name, ""), None)
            origins.pop(name, None)
        values.update(layer.values)
        origins.update(layer.origins)
    return values, origins
