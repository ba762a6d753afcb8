"""Leveled compaction: each level below level 0 is one sorted run, ten times the size of the level above it.

A level wants work when its score reaches 1: for level 0 the number of its runs over the trigger (or its bytes over
``level_base_bytes``), for a deeper one its bytes over its target. The picker serves the neediest level first. From a
deeper level it takes the table that drags the fewest bytes of the next level into the merge; from level 0 a group of
overlapping tables. What overlaps nothing below is moved without being read. While level 0 cannot go down because the
base level is being compacted, its runs are merged with each other.

What keeps the tree right whatever runs at the same time is in :mod:`lsmproc.compaction.claims` (no two compactions
meet) and :mod:`lsmproc.compaction.level0_picks` (nothing overtakes an older record).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from lsmproc.compaction.claims import Claims
from lsmproc.compaction.compaction import Compaction
from lsmproc.compaction.idle_pick import pick_idle
from lsmproc.compaction.level0_picks import groups_that_may_leave, oldest_within, runs_to_merge_in_level0
from lsmproc.compaction.level_targets import LevelTargets, level_targets
from lsmproc.compaction.manual_pick import pick_manually
from lsmproc.formats.version_edit import LEVEL_COUNT, FileMetadata
from lsmproc.storage.version import Level, Version, key_range, overlapping

_LAST_LEVEL = LEVEL_COUNT - 1
_MOVES_AT_ONCE = 4  # tables moved by one edit: a move costs one sync of the manifest and nothing else
_RUNS_ABOVE_TRIGGER_BEFORE_MERGE_IN_LEVEL0 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LeveledOptions:
    """The shape of the tree. Defaults are those of ``LSMConfig``."""

    level0_compaction_trigger: int = 4  # runs in level 0 from which they are merged down
    level0_slowdown_writes_trigger: int = 20  # only for parallelism: pressure begins well before it
    level_base_bytes: int = 64 << 20  # target of the base level at most
    level_size_multiplier: int = 10  # each level is so many times larger than the one above it
    max_file_bytes: int = 32 << 20  # what a compaction's outputs are cut at
    max_compaction_bytes: int = 0  # soft limit of one compaction's inputs; 0 means 25 times max_file_bytes
    soft_pending_compaction_bytes: int = 64 << 30  # only for parallelism, as above


class LeveledPicker:
    """Picks by score; implements CompactionPicker. Pure: it holds nothing but its options."""

    def __init__(self, options: LeveledOptions) -> None:
        """Pick for trees of this shape."""
        self._options = options
        self._limit_bytes = options.max_compaction_bytes or 25 * options.max_file_bytes

    def pick(self, version: Version, running: Sequence[Compaction]) -> Compaction | None:
        """See CompactionPicker.pick."""
        claims = Claims.of(running)
        targets = self._targets(version)
        idle = [[file for file in level if file.number not in claims.tables] for level in version.levels]
        scores = self._scores([len(files) for files in idle], [_bytes(files) for files in idle], targets)
        level0_is_blocked = False
        for level in self._by_need(scores, version, targets):
            if level == 0:
                picked = self._from_level0(version, claims, targets.base_level, scores[0])
                level0_is_blocked = picked is None
            elif level == targets.base_level and level0_is_blocked:
                continue  # One more compaction out of the base level would keep level 0 waiting for longer.
            else:
                picked = self._from_deeper(version, claims, level, scores[level], targets)
            if picked is not None:
                return picked
        return None

    def manual(
        self,
        version: Version,
        level: int,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        running: Sequence[Compaction] = (),
    ) -> Compaction | None:
        """See CompactionPicker.manual."""
        output_level = min(level + 1, _LAST_LEVEL) if level else self._targets(version).base_level
        return pick_manually(version, level, output_level, (start, stop), Claims.of(running))

    def pick_idle(self, version: Version, paid_bytes: int) -> Compaction | None:
        """See CompactionPicker.pick_idle."""
        base_level = self._targets(version).base_level
        return pick_idle(version, base_level, self._limit_bytes, paid_bytes, partial(self._may_move, version))

    def scores(self, version: Version) -> tuple[float, ...]:
        """See CompactionPicker.scores."""
        counts = [len(level) for level in version.levels]
        return self._scores(counts, [_bytes(level) for level in version.levels], self._targets(version))

    def debt_bytes(self, version: Version) -> int:
        """See CompactionPicker.debt_bytes.

        Level 0 costs itself and the base level it is merged with; each byte above a target costs itself and its
        share of the next level, and weighs on the next level in turn. (RocksDB's EstimateCompactionBytesNeeded.)
        """
        targets = self._targets(version)
        sizes = [_bytes(level) for level in version.levels]
        debt = carried = 0
        if self.scores(version)[0] >= 1:
            carried = sizes[0]
            debt = sizes[0] + sizes[targets.base_level]
        for level in range(targets.base_level, _LAST_LEVEL):
            size = sizes[level] + carried
            carried = max(0, size - (0 if level <= targets.lowest_unneeded_level else targets.target_bytes[level]))
            debt += carried + carried * sizes[level + 1] // max(size, 1)
        return debt

    def parallelism(self, version: Version) -> int:
        """One compaction at a time while that is enough, so that reads and writes keep the machine.

        One more for every 8 runs in level 0 (with the default triggers), and for every
        min(max(bottommost / 8, 2 * base), soft limit / 4) bytes of debt: RocksDB's thresholds, but by degrees.
        """
        options = self._options
        trigger = options.level0_compaction_trigger
        many_runs = min(2 * trigger, trigger + max(1, (options.level0_slowdown_writes_trigger - trigger) // 4))
        bottommost = next((_bytes(level) for level in reversed(version.levels[1:]) if level), 0)
        much_debt = min(
            max(bottommost // 8, 2 * options.level_base_bytes), max(1, options.soft_pending_compaction_bytes // 4)
        )
        return 1 + max(len(version.levels[0]) // many_runs, self.debt_bytes(version) // much_debt)

    def _targets(self, version: Version) -> LevelTargets:
        sizes = [_bytes(level) for level in version.levels]
        return level_targets(sizes, self._options.level_base_bytes, self._options.level_size_multiplier)

    def _scores(self, counts: Sequence[int], sizes: Sequence[int], targets: LevelTargets) -> tuple[float, ...]:
        options = self._options
        scores = [0.0] * LEVEL_COUNT
        scores[0] = max(counts[0] / options.level0_compaction_trigger, sizes[0] / options.level_base_bytes)
        for level in range(targets.base_level, _LAST_LEVEL):
            scores[level] = sizes[level] / targets.target_bytes[level]
            if level <= targets.lowest_unneeded_level and sizes[level]:
                # To be emptied from the top, before ordinary work.
                scores[level] = max(scores[level], 10.0 * (1 + targets.lowest_unneeded_level - level))
        return tuple(scores)

    def _by_need(self, scores: Sequence[float], version: Version, targets: LevelTargets) -> list[int]:
        """The levels that want work, neediest first.

        A level's score counts for less while levels above it are about to push more into it: what comes down would
        only have to be merged again, and it is the upper levels that reads and writes feel.
        """
        needs: list[tuple[float, int]] = []
        coming = _bytes(version.levels[0]) if scores[0] >= 1 else 0
        for level, score in enumerate(scores):
            target = targets.target_bytes[level]
            if score >= 1:
                needs.append((-score * target / (target + coming) if level else -score, level))
            if level:
                coming += max(0, _bytes(version.levels[level]) - target)
        return [level for _, level in sorted(needs)]

    def _from_level0(self, version: Version, claims: Claims, base_level: int, score: float) -> Compaction | None:
        level0 = version.levels[0]
        base = version.levels[base_level]
        groups = groups_that_may_leave(level0, claims)
        moves = [
            group[0]
            for group in groups
            if len(group) == 1
            and not overlapping(base, group[0].smallest, group[0].largest)
            and self._may_move(version, group[0], base_level)
            and claims.leave_range(base_level, group)
        ]
        if moves:
            return _move(0, base_level, moves, score)
        merges: list[tuple[float, int, Level, Level]] = []
        for group in groups:
            upper = oldest_within(group, self._limit_bytes)
            lower = overlapping(base, *key_range(upper))
            if claims.leave(lower) and claims.leave_range(base_level, upper + lower):
                merges.append((_bytes(lower) / max(_bytes(upper), 1), len(merges), upper, lower))
        if merges:
            _, _, upper, lower = min(merges)
            inputs = tuple((0, (file,)) for file in upper) + (((base_level, lower),) if lower else ())
            return Compaction(inputs, base_level, f"level 0 has {len(level0)} runs", score)
        if len(level0) < self._options.level0_compaction_trigger + _RUNS_ABOVE_TRIGGER_BEFORE_MERGE_IN_LEVEL0:
            return None
        upper = runs_to_merge_in_level0(level0, claims, self._limit_bytes)
        inputs = tuple((0, (file,)) for file in upper)
        return Compaction(inputs, 0, "level 0 waits for the base level", score) if upper else None

    def _from_deeper(
        self, version: Version, claims: Claims, level: int, score: float, targets: LevelTargets
    ) -> Compaction | None:
        upper, lower = version.levels[level], version.levels[level + 1]
        drain = level <= targets.lowest_unneeded_level
        excess = _bytes(upper) - (0 if drain else targets.target_bytes[level])
        moves: list[FileMetadata] = []
        for file, first, last in _by_overlap(upper, lower, claims):
            if not claims.leave_range(level + 1, (file, *lower[first:last])):
                continue
            if first == last and self._may_move(version, file, level + 1):
                moves.append(file)
                excess -= file.size
                if len(moves) < _MOVES_AT_ONCE and excess > 0:
                    continue
            if moves:
                break
            files = self._widened(version, claims, level, (file, *lower[first:last]))
            below = lower[first:last]
            inputs = ((level, files), (level + 1, below)) if below else ((level, files),)
            return Compaction(inputs, level + 1, _size_reason(level, upper, targets, drain=drain), score)
        return _move(level, level + 1, moves, score) if moves else None

    def _widened(self, version: Version, claims: Claims, level: int, inputs: Level) -> Level:
        """The table picked from ``level``, with its neighbours that add nothing of the next level to the merge."""
        picked, below = inputs[:1], inputs[1:]
        if not below:
            return picked
        wider = overlapping(version.levels[level], *key_range(inputs))
        fits = (
            claims.leave(wider)
            and overlapping(version.levels[level + 1], *key_range(wider)) == below
            and _bytes(wider) + _bytes(below) <= self._limit_bytes
            and claims.leave_range(level + 1, wider + below)
        )
        return wider if fits else picked

    def _may_move(self, version: Version, file: FileMetadata, output_level: int) -> bool:
        """Whether ``file``, which overlaps nothing in ``output_level``, may go there unread.

        Not when it would overlap so much of the level below that its next compaction were too large; and not with
        tombstones that a merge could drop because nothing lies below them.
        """
        deeper = [overlapping(level, file.smallest, file.largest) for level in version.levels[output_level + 1 :]]
        if file.tombstones and not any(deeper):
            return False
        return not deeper or _bytes(deeper[0]) <= self._limit_bytes


def _by_overlap(upper: Level, lower: Level, claims: Claims) -> list[tuple[FileMetadata, int, int]]:
    """Tables of ``upper`` that can be compacted, with their slice [first, last) of ``lower``; cheapest first.

    Cheapest is the fewest bytes of ``lower`` for each byte of the table, tombstones counted double: they free space.
    """
    smallest = [file.smallest for file in lower]
    largest = [file.largest for file in lower]
    bytes_before = list(accumulate((file.size for file in lower), initial=0))
    claimed_before = list(accumulate((file.number in claims.tables for file in lower), initial=0))
    found: list[tuple[float, int, int, int]] = []
    for index, file in enumerate(upper):
        first = bisect_left(largest, file.smallest)
        last = bisect_right(smallest, file.largest, lo=first)
        if file.number not in claims.tables and claimed_before[last] == claimed_before[first]:
            weight = file.size + file.size * file.tombstones // max(file.entries, 1)
            found.append(((bytes_before[last] - bytes_before[first]) / max(weight, 1), index, first, last))
    return [(upper[index], first, last) for _, index, first, last in sorted(found)]


def _move(level: int, output_level: int, files: Iterable[FileMetadata], score: float) -> Compaction:
    run = tuple(sorted(files, key=lambda file: file.smallest))
    return Compaction(
        ((level, run),), output_level, f"nothing in level {output_level} overlaps", score, trivial_move=True
    )


def _size_reason(level: int, files: Level, targets: LevelTargets, *, drain: bool) -> str:
    if drain:
        return f"level {level} is not needed for so little data"
    return f"level {level} has {_bytes(files)} bytes, target {targets.target_bytes[level]}"


def _bytes(files: Iterable[FileMetadata]) -> int:
    return sum(file.size for file in files)
