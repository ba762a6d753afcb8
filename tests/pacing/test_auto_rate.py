"""The automatic rate on a model of a store: it follows the load within seconds and keeps its bounds."""

from __future__ import annotations

import pytest

from lsmproc.pacing.auto_rate import FLOOR_BYTES_PER_SECOND, AutoRate, Load, RatePacer
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority

MIB = 1 << 20
STEP_SECONDS = 0.25


class Model:
    """A store that writes each byte ``factor`` times in the background, as fast as the rate allows."""

    def __init__(self, factor: float, limit: int | None) -> None:
        self.auto = AutoRate()
        self.rate = float(limit or FLOOR_BYTES_PER_SECOND)
        self.debt = 0.0
        self.granted = 0.0
        self._factor = factor
        self._limit = limit
        self._ingested = 0.0
        self._now = 0.0

    def run(self, seconds: float, ingest: float) -> list[float]:
        """Write at ``ingest`` bytes per second; the rates on the way."""
        rates = []
        for _ in range(round(seconds / STEP_SECONDS)):
            self._now += STEP_SECONDS
            self._ingested += ingest * STEP_SECONDS
            self.debt += ingest * self._factor * STEP_SECONDS
            written = min(self.debt, self.rate * STEP_SECONDS)
            self.debt -= written
            self.granted += written
            load = Load(int(self._ingested), int(self.debt), 0.0)
            rate = self.auto.next(self._now, load, int(self.granted), self._limit)
            self.rate = self.rate if rate is None else rate
            rates.append(self.rate)
        return rates


@pytest.mark.parametrize("factor", [2.5, 6.0, 15.0])
def test_the_rate_converges_on_what_the_writes_need(factor: float) -> None:
    """Whatever the store's shape: debt stays bounded, and the rate is not far above the need."""
    model = Model(factor, None)
    model.run(60.0, 5 * MIB)
    rates = model.run(30.0, 5 * MIB)
    need = 5 * MIB * factor
    assert min(rates) >= 0.9 * need
    assert max(rates) <= 1.6 * need
    assert model.debt <= need  # a second of work


def test_a_rise_of_the_load_is_followed_within_seconds() -> None:
    """Ten times the writes, from one moment to the next; RocksDB's limiter takes ten minutes from floor to ceiling."""
    model = Model(6.0, None)
    model.run(60.0, 2 * MIB)
    rates = model.run(5.0, 20 * MIB)
    assert rates[round(3.0 / STEP_SECONDS)] >= 20 * MIB * 6
    assert max(rates) <= 3 * 20 * MIB * 6


def test_a_fall_of_the_load_is_followed_once_its_debt_is_paid() -> None:
    """Down to the floor in half a minute, with nothing left."""
    model = Model(6.0, None)
    model.run(60.0, 20 * MIB)
    assert model.run(40.0, 0)[-1] == FLOOR_BYTES_PER_SECOND
    assert model.debt < MIB


def test_the_rate_keeps_its_bounds() -> None:
    """The ceiling that was set, and a floor of a twentieth of it, so that work nobody waits for gets on."""
    model = Model(10.0, 40 * MIB)
    assert 40 * MIB == max(model.run(30.0, 100 * MIB))
    model.debt = 0.0
    assert 2 * MIB == model.run(60.0, 0)[-1]


def test_a_stall_raises_the_rate() -> None:
    """Up before writes stop: four times just before that."""
    rates = []
    for excess in (0.0, 0.5, 1.0):
        auto = AutoRate()
        for second in range(30):
            rate = auto.next(float(second), Load(second * 10 * MIB, 0, excess), second * 40 * MIB, None)
        rates.append(rate or 0)
    assert rates[1] == pytest.approx(2.5 * rates[0], rel=0.01)
    assert rates[2] == pytest.approx(4 * rates[0], rel=0.01)


def test_a_pacer_adds_up_the_stores_of_an_env_and_survives_their_closing() -> None:
    """Two stores need twice the rate; one that is closed takes its load with it, and is no burst in reverse."""
    now = [0.0]
    limiter = RateLimiter(None, lambda: now[0])
    pacer = RatePacer(limiter, enabled=True, clock=lambda: now[0])

    def live(seconds: int, *stores: str) -> int:
        for _ in range(seconds):
            now[0] += 1.0
            written[0] += 2 * MIB
            for store in stores:
                pacer.observe(store, Load(written[0], 0, 0.0))
        return limiter.bytes_per_second or 0

    written = [0]
    one = live(20, "a")
    two = live(20, "a", "b")
    assert two > 1.7 * one
    pacer.forget("b")
    assert live(30, "a") < 1.2 * one


def test_a_pacer_that_is_turned_off_goes_back_to_the_rate_that_was_set() -> None:
    """And touches it no more."""
    now = [0.0]
    limiter = RateLimiter(100 * MIB, lambda: now[0])
    pacer = RatePacer(limiter, enabled=True, clock=lambda: now[0])
    for second in range(5):
        now[0] = float(second)
        pacer.observe("a", Load(0, 0, 0.0))
    assert 5 * MIB == limiter.bytes_per_second
    pacer.enable(enabled=False)
    now[0] = 9.0
    pacer.observe("a", Load(0, 0, 0.0))
    assert 100 * MIB == limiter.bytes_per_second
    assert 0 == limiter.report()[Priority.FLUSH].granted_bytes
