"""The figures of a follower: what it shows and holds, and how far it is behind."""

from __future__ import annotations

from typing import NamedTuple


class Lag(NamedTuple):
    """How far a follower is behind; see Follower.lag."""

    shown: int  # sequence number of the newest write that the follower shows
    newest: int  # sequence number of the newest write in the owner's log; equal if nothing is missing
    seconds: float  # between the two writes, by the owner's clock; 0.0 if nothing is missing


class FollowerStats(NamedTuple):
    """Figures of a follower; see Follower.stats."""

    sequence: int  # of the newest write shown
    epoch: int  # how often the store had been opened by an owner when its manifest was read
    log_segments: int  # in memory, because no table holds them yet
    memtable_entries: int  # records of those
    tables: int  # of the state shown
    table_bytes: int  # of their files
    held_tables: int  # open files: also those that only older snapshots and iterators need
    snapshots: int  # live ones, iterators included
    refreshes: int  # that brought something new
