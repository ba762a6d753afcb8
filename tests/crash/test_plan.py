"""A run is decided by its plan and seed, stops by itself, and touches no directory but its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmproc.stress import StressPlan, run_stress
from lsmproc.stress.plan import CyclePlan, EpisodePlan, episodes
from lsmproc.stress.rig import replay_command

PLAN = StressPlan(3, owner_kills=25, flush_worker_kills=5, compaction_worker_kills=5, worker_stops=4, log_damages=2)


def outline(plan: StressPlan) -> list[tuple[object, ...]]:
    """What the cycles of a plan are."""

    def of(episode: EpisodePlan, cycle: CyclePlan) -> tuple[object, ...]:
        return (
            episode.number,
            episode.options.name,
            episode.sync,
            episode.load,
            cycle.number,
            cycle.fault,
            cycle.delay_seconds,
        )

    return [of(episode, cycle) for episode in episodes(plan) for cycle in episode.cycles]


def test_the_same_seed_gives_the_same_cycles() -> None:
    """And another seed gives others."""
    assert outline(PLAN) == outline(PLAN)
    assert outline(PLAN) != outline(PLAN.replace(seed=4))
    assert 41 == len(outline(PLAN))


def test_an_episode_is_the_same_alone() -> None:
    """So that a failing cycle can be run again without all those before."""
    assert [each for each in outline(PLAN) if each[0] == 2] == outline(PLAN.replace(only_episode=2))


def test_the_replay_command_names_all_that_matters() -> None:
    """What is left out is the default."""
    plan = PLAN.replace(only_episode=2, sync=("mix",), threads=(1,))
    assert (
        "lsmproc stress --seed 3 --episode 2 --owner-kills 25 --flush-worker-kills 5 --compaction-worker-kills 5 "
        "--worker-stops 4 --log-damages 2 --power-cuts 0 --sync mix --threads 1"
    ) == replay_command(plan)


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    """The rig empties its directory, so it must be its own."""
    (tmp_path / "precious").touch()
    with pytest.raises(FileExistsError, match="was not made by the stress rig"):
        run_stress(PLAN, str(tmp_path), print)
    assert [tmp_path / "precious"] == list(tmp_path.iterdir())


def test_a_run_without_time_begins_no_cycle(tmp_path: Path) -> None:
    """It says that it is not complete, and leaves nothing."""
    lines: list[str] = []
    report = run_stress(PLAN.replace(seconds=0.0), str(tmp_path / "rig"), lines.append)
    assert (False, False, []) == (report.failed, report.complete, list(tmp_path.iterdir()))
    assert "the time was up before all cycles had run" in lines
