"""What works and is likely to disappoint is told in words that say what will happen."""

from __future__ import annotations

import pytest

from lsmproc.config import LSMConfig, profile_names
from lsmproc.config.advice import Surroundings, advise

MIB = 1 << 20


def told(surroundings: Surroundings, **options: object) -> str:
    """All advice, as one text."""
    return "\n".join(advice.sentence for advice in advise(LSMConfig.from_options("/x", **options), surroundings))


def test_a_limit_below_the_flush_rate_seen_tells_when_writes_will_stop() -> None:
    """Room of five memtables, filled by the difference of the rates."""
    seen = Surroundings(flush_bytes_per_sec=9 * MIB)
    text = told(seen, rate_limit_bytes_per_sec="4MiB/s", memtable_max_bytes="40MiB")
    assert (
        "rate_limit_bytes_per_sec 4.0 MiB/s is below the flush rate seen (9.0 MiB/s): "
        "writes will stop after about 40 s at that rate"
    ) == text


def test_a_limit_that_leaves_compactions_nothing_tells_that_they_fall_behind() -> None:
    """Above the flush rate, and below twice of it."""
    assert "compactions fall behind" in told(
        Surroundings(flush_bytes_per_sec=9 * MIB), rate_limit_bytes_per_sec="12MiB"
    )


def test_a_limit_with_enough_room_or_without_a_history_is_not_worth_a_word() -> None:
    """No guessing."""
    assert "" == told(Surroundings(flush_bytes_per_sec=9 * MIB), rate_limit_bytes_per_sec="18MiB")
    assert "" == told(Surroundings(), rate_limit_bytes_per_sec="1MiB")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compaction_workers": 9}, "above the number of CPUs (8)"),
        ({"worker_cpus": [0, 8]}, "names CPU 8, and there are 8"),
        ({"block_cache_bytes": "3GiB"}, "the machine has 4.0 GiB"),
        ({"level_base_bytes": "16MiB"}, "one of the two merges"),
        ({"rate_limit_auto": True}, "has no ceiling"),
    ],
)
def test_what_the_machine_cannot_give_is_told(options: dict[str, object], words: str) -> None:
    """Each rule can be broken."""
    assert words in told(Surroundings(cpus=8, memory_bytes=4 << 30), **options)


@pytest.mark.parametrize("name", profile_names())
def test_no_profile_needs_advice_on_a_machine_of_its_kind(name: str) -> None:
    """Profiles follow the rules that the package gives."""
    assert () == advise(LSMConfig.from_profile(name, "/x"), Surroundings(8, 32 << 30, 8 * MIB))
