"""Whether figures of a long run grow: a line through the second half of each, and the limit that it must keep.

The slope is the median of the slopes between all pairs of samples (Theil and Sen), so that a peak, or a worker that
was killed, does not move it. What counts is how much the figure has grown over the second half at that slope. A limit
is a number, or a share of the figure's own median if that is more: a memtable that is full at one end of the half and
empty at the other is no growth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median, multimode

MIB = 1 << 20
_MOST_POINTS = 200  # of a line; more samples than that are taken together, by their median


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a figure may grow over half of a run."""

    growth: float
    share: float = 0.0  # of its median


LIMITS: Mapping[str, Limit] = {
    "owner memory (bytes)": Limit(8 * MIB, 0.05),
    "memory of the largest worker (bytes)": Limit(8 * MIB, 0.05),
    "owner descriptors, tables aside": Limit(3, 0.1),
    "descriptors of the workers, tables aside": Limit(3, 0.1),
    "owner threads": Limit(1),
    "processes": Limit(1),
    "files": Limit(12, 0.25),
    "bytes in the directory": Limit(4 * MIB, 0.25),
    "live snapshots": Limit(3),
}


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure over a run."""

    name: str
    middle: float  # median of the second half
    most: float  # of all samples
    slope: float  # per minute, in the second half
    growth: float  # over the second half
    limit: float

    @property
    def flat(self) -> bool:
        """Whether it keeps its limit. Less is no harm."""
        return self.growth <= self.limit

    def line(self) -> str:
        """For people."""
        said = "flat" if self.flat else "GROWS"
        return (
            f"  {self.name:38} median {self.middle:14,.0f}  most {self.most:14,.0f}  per minute {self.slope:+12,.1f}"
            f"  growth {self.growth:+12,.1f} of {self.limit:12,.1f}  {said}"
        )


def growths(samples: Sequence[Mapping[str, float]]) -> list[Growth]:
    """Judge samples, each with its ``seconds`` and a value for each name in LIMITS."""
    second = samples[len(samples) // 2 :]
    # While a worker that was killed is away, its share of descriptors and memory is too: those moments do not count.
    usual = multimode(each["processes"] for each in second)[0]
    settled = [each for each in second if each["processes"] == usual]
    found = []
    for name, limit in LIMITS.items():
        half = second if name == "processes" else settled
        middle = median(each[name] for each in half)
        slope = theil_sen([(each["seconds"], each[name]) for each in half])
        lasted = second[-1]["seconds"] - second[0]["seconds"]
        allowed = max(limit.growth, limit.share * middle)
        most = max(each[name] for each in samples)
        found.append(Growth(name, middle, most, slope * 60, slope * lasted, allowed))
    return found


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median slope between pairs of points; 0 for a single point."""
    points = _thinned(points)
    slopes = [(high - low) / (later - earlier) for (earlier, low), (later, high) in combinations(points, 2)]
    return median(slopes) if slopes else 0.0


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // _MOST_POINTS)
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    return [(median(x for x, _ in block), median(y for _, y in block)) for block in blocks]
