"""Repair: a new store from all that still checks of a damaged one. ``store_repair.py`` is the way in."""
