"""Switches that take one protection out of the store under test, to prove that the rig notices."""

from __future__ import annotations

SABOTAGES: dict[str, str] = {}


def apply_sabotage(name: str) -> None:
    """Take the protection ``name`` out of this process and its workers."""
    raise NotImplementedError(name)
