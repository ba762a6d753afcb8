"""Zipfian ranks as YCSB draws them: rank r has a share proportional to 1 / (r + 1) ** 0.99.

The method is that of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994).
"""

from __future__ import annotations

import random

_THETA = 0.99


class Zipfian:
    """Draws ranks below ``count``."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._count = count
        self._draw = rng.random
        self._zeta = sum(1 / rank**_THETA for rank in range(1, count + 1))
        self._alpha = 1 / (1 - _THETA)
        second = 1 + 0.5**_THETA
        # With one or two ranks the closed form divides by zero; ranks() then never gets to use it.
        self._eta = (1 - (2 / count) ** (1 - _THETA)) / (1 - second / self._zeta) if count > 2 else 0.0

    def ranks(self, count: int) -> list[int]:
        """So many ranks, 0 the most frequent."""
        draw, zeta, eta, alpha, total = self._draw, self._zeta, self._eta, self._alpha, self._count
        second = 1 + 0.5**_THETA
        ranks = []
        for _ in range(count):
            point = draw()
            share = point * zeta
            if share < 1:
                ranks.append(0)
            elif share < second:
                ranks.append(1)
            else:
                ranks.append(min(int(total * (eta * point - eta + 1) ** alpha), total - 1))
        return ranks
