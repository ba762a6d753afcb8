"""The recorded histories, and ways to alter one figure of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsmproc.config import LSMConfig
from lsmproc.tuning.history import History

_FOLDER = Path(__file__).parent / "histories"


@pytest.fixture
def recorded() -> Callable[[str], History]:
    """The history of a real run, by its name."""

    def read(name: str) -> History:
        tree = json.loads((_FOLDER / f"{name}.json").read_text())
        config = LSMConfig.from_options("/data/store", **tree.pop("settings"))
        return History(config=config, events=tuple(tree.pop("events")), **tree)

    return read


@pytest.fixture
def altered(recorded: Callable[[str], History]) -> Callable[..., History]:
    """A recorded history with other settings, figures (``"stall.state"``), fields, and more events."""

    def alter(
        name: str,
        settings: dict[str, Any] | None = None,
        figures: dict[str, Any] | None = None,
        events: tuple[dict[str, Any], ...] = (),
        **fields: Any,
    ) -> History:
        history = recorded(name)
        stats: Any = copy.deepcopy(history.stats)
        for path, value in (figures or {}).items():
            *upper, last = path.split(".")
            place = stats
            for step in upper:
                place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
            place[int(last) if isinstance(place, list) else last] = value
        config = history.config.replace(**(settings or {}))
        return replace(history, config=config, stats=stats, events=(*history.events, *events), **fields)

    return alter
