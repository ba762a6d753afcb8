"""Tiered compaction: runs of similar size are merged with each other, so that a record is rewritten seldom.

The tree is the same as for leveled compaction, read differently: each table of level 0 is a run, and each deeper
level is one. When there are ``run_count_trigger`` runs or more, the first of these that applies is done:

1. all runs are merged when the newer ones together exceed ``max_space_amplification_percent`` of the oldest;
2. runs of similar size are merged: starting from a run, the next older one is added while it is not larger than what
   was gathered so far (and ``size_ratio_percent`` more);
3. the newest runs are merged, as many as are needed to be below the trigger.

Merged runs are always neighbours in age. The result goes to the level just above the next older run, or to the last
level when there is none, so that newer data stay above older data whatever else is running. (RocksDB's universal
compaction.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from lsmproc.compaction.claims import Claims
from lsmproc.compaction.compaction import Compaction
from lsmproc.compaction.manual_pick import pick_manually
from lsmproc.formats.version_edit import LEVEL_COUNT
from lsmproc.storage.version import Level, Version

_LAST_LEVEL = LEVEL_COUNT - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TieredOptions:
    """When runs are merged."""

    run_count_trigger: int = 4  # level0_compaction_trigger of ``LSMConfig``
    size_ratio_percent: int = 1
    min_merge_width: int = 2  # fewest runs merged for their similar size
    max_space_amplification_percent: int = 200


@dataclass(frozen=True, slots=True)
class _Run:
    level: int
    files: Level
    size_bytes: int
    is_claimed: bool


class TieredPicker:
    """Picks by run count and run sizes; implements CompactionPicker. Pure: it holds nothing but its options."""

    def __init__(self, options: TieredOptions) -> None:
        """Pick for trees of this shape."""
        self._options = options

    def pick(self, version: Version, running: Sequence[Compaction]) -> Compaction | None:
        """See CompactionPicker.pick."""
        claims = Claims.of(running)
        runs = tuple(_runs(version, claims))
        count_soon = sum(not run.is_claimed for run in runs) + len(running)
        surplus = count_soon - self._options.run_count_trigger
        if surplus < 0:
            return None
        for first, count, reason in self._choices(runs, surplus + 2):
            chosen = runs[first : first + count]
            output_level = _output_level(runs, first + count)
            files = tuple(file for run in chosen for file in run.files)
            if any(run.is_claimed for run in chosen) or not claims.leave_range(output_level, files):
                continue
            score = len(runs) / self._options.run_count_trigger
            ascending = tuple(sorted(files, key=lambda file: file.smallest))
            if output_level > 0 and chosen[-1].level == 0 and _are_disjoint(ascending):
                return Compaction(((0, ascending),), output_level, f"{reason}, disjoint", score, trivial_move=True)
            return Compaction(tuple((run.level, run.files) for run in chosen), output_level, reason, score)
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
        """See CompactionPicker.manual. Level 0 is merged with the newest run below it."""
        output_level = min(level + 1, _LAST_LEVEL)
        if level == 0:
            output_level = next((n for n in range(1, LEVEL_COUNT) if version.levels[n]), _LAST_LEVEL)
        return pick_manually(version, level, output_level, (start, stop), Claims.of(running))

    def pick_idle(self, version: Version, paid_bytes: int) -> Compaction | None:
        """See CompactionPicker.pick_idle. None: who chooses this style wants few rewrites, and several runs."""
        del version, paid_bytes
        return None

    def scores(self, version: Version) -> tuple[float, ...]:
        """See CompactionPicker.scores. The runs are counted together, and level 0 speaks for all of them."""
        count = sum(1 for _ in _runs(version, Claims()))
        return (count / self._options.run_count_trigger, *([0.0] * _LAST_LEVEL))

    def debt_bytes(self, version: Version) -> int:
        """See CompactionPicker.debt_bytes: what the next merge would rewrite, as later ones cannot be foreseen."""
        picked = self.pick(version, ())
        return 0 if picked is None or picked.trivial_move else picked.input_bytes

    def parallelism(self, version: Version) -> int:
        """One compaction, and one more for each time the number of runs exceeds the trigger twice over."""
        return max(1, int(self.scores(version)[0]) // 2)

    def _choices(self, runs: Sequence[_Run], wanted: int) -> Iterator[tuple[int, int, str]]:
        """What could be merged as (first run, count, reason), best first; whether it is free is not looked at.

        Merging ``wanted`` runs would make them few enough.
        """
        options = self._options
        sizes = [run.size_bytes for run in runs]
        if len(runs) > 1 and sum(sizes[:-1]) * 100 >= sizes[-1] * options.max_space_amplification_percent:
            yield 0, len(runs), "space amplification"
        for first in range(len(runs) - 1):
            count = self._similar(runs[first:])
            if count >= max(2, options.min_merge_width):
                yield first, count, f"{count} runs of similar size"
        # The newest runs that are free, whatever their size; what runs already will soon count for less.
        first = next((n for n, run in enumerate(runs) if not run.is_claimed), len(runs))
        free = next((n for n, run in enumerate(runs[first:]) if run.is_claimed), len(runs) - first)
        if free > 1:
            yield first, min(free, wanted), f"{len(runs)} runs"

    def _similar(self, runs: Sequence[_Run]) -> int:
        """How many runs from the first on are of similar size."""
        gathered = accumulate(run.size_bytes for run in runs)
        for count, (size, run) in enumerate(zip(gathered, runs[1:], strict=False), start=1):
            if run.is_claimed or run.size_bytes * 100 > size * (100 + self._options.size_ratio_percent):
                return count
        return len(runs)


def _runs(version: Version, claims: Claims) -> Iterator[_Run]:
    """The runs of the tree, newest first."""
    for file in version.levels[0]:
        yield _Run(0, (file,), file.size, file.number in claims.tables)
    for level, files in enumerate(version.levels):
        if level and files:
            yield _Run(level, files, version.level_bytes(level), not claims.leave(files))


def _output_level(runs: Sequence[_Run], older: int) -> int:
    """The level for a merge of runs whose next older one is ``runs[older]``, if there is one."""
    return _LAST_LEVEL if older == len(runs) else max(0, runs[older].level - 1)


def _are_disjoint(ascending: Level) -> bool:
    return all(left.largest < right.smallest for left, right in pairwise(ascending))
