"""What a rule is: a name, a condition over a History, and what it suggests when the condition holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lsmproc.tuning.history import History


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a rule fires: a sentence with its numbers, the same as data, and the time that they come from."""

    text: str
    figures: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What to do. ``values`` are new settings, as ``LSMConfig.replace`` takes them; none where no setting helps."""

    action: str
    values: Mapping[str, object] = field(default_factory=dict)
    effect: str
    risk: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong. ``condition`` is None, or the evidence that it is."""

    name: str
    condition: Callable[[History], Evidence | None]
    suggestion: Callable[[History], Suggestion]
    after: str = ""  # a rule that, if it fires, is the likelier cause: its change comes first
    sums: bool = False  # whether the evidence is added up since the opening, whatever was changed since
