"""A run is decided by its plan and seed, stops by itself, and touches no directory but its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lsmproc.stress.faults import Fault
from lsmproc.stress.plan import StressPlan
from lsmproc.stress.points import KILL_POINTS
from lsmproc.stress.replay import replay_command
from lsmproc.stress.report import NotTried
from lsmproc.stress.rig import run_stress
from lsmproc.stress.schedule import CyclePlan, EpisodePlan, episodes, points_of

PLAN = StressPlan(3, owner_kills=25, flush_worker_kills=5, compaction_worker_kills=5, worker_stops=4, log_damages=2)
WHOLE = PLAN.replace(kill_points=70, disk_errors=9, file_damages=8, power_cuts=7, full_disks=5)


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
            cycle.point,
            episode.volume,
            episode.room_bytes,
        )

    return [of(episode, cycle) for episode in episodes(plan) for cycle in episode.cycles]


def test_the_same_seed_gives_the_same_cycles() -> None:
    """And another seed gives others."""
    assert outline(PLAN) == outline(PLAN)
    assert outline(PLAN) != outline(PLAN.replace(seed=4))
    assert 41 == len(outline(PLAN))


def test_an_episode_is_the_same_alone() -> None:
    """So that a failing cycle can be run again without all those before."""
    for number in (2, 6, 19):
        assert [each for each in outline(WHOLE) if each[0] == number] == outline(WHOLE.replace(only_episode=number))
        assert outline(WHOLE.replace(only_episode=number))


def test_every_kill_point_is_armed_in_turn() -> None:
    """Each once before any comes again, and never where it cannot be reached."""
    armed = [cycle.point for episode in episodes(WHOLE) for cycle in episode.cycles if cycle.fault is Fault.KILL_POINT]
    assert (70, set(KILL_POINTS)) == (len(armed), set(armed[: len(KILL_POINTS)]))
    unsynced = WHOLE.replace(sync=("none",))
    assert "owner.fdatasync.wal.before" not in points_of(unsynced, Fault.KILL_POINT)
    synced = [each.sync for each in episodes(WHOLE) for cycle in each.cycles if cycle.fault is Fault.KILL_POINT]
    assert "none" not in synced


def test_each_full_disk_is_a_store_of_its_own_and_power_is_cut_on_every_volume() -> None:
    """A disk that has room again cannot be full again."""
    volumes = Counter(episode.volume for episode in episodes(WHOLE) for cycle in episode.cycles)
    assert {"tmpfs": 3, "small-ext4": 2, "ext4": 7, "xfs": 7, "model": 7} == {
        volume: count for volume, count in volumes.items() if volume != "directory"
    }
    assert {1} == {len(episode.cycles) for episode in episodes(WHOLE) if episode.room_bytes}


def test_the_replay_command_names_all_that_matters() -> None:
    """What is left out is the default."""
    plan = PLAN.replace(only_episode=2, sync=("mix",), threads=(1,), kill_points=9, points=("owner.rename",))
    assert (
        "lsmproc stress --seed 3 --episode 2 --owner-kills 25 --flush-worker-kills 5 --compaction-worker-kills 5 "
        "--worker-stops 4 --log-damages 2 --kill-points 9 --sync mix --threads 1 --points owner.rename"
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
    missing = NotTried("power cuts on xfs", 500, "mkfs.xfs is not installed")
    report = run_stress(PLAN.replace(seconds=0.0), str(tmp_path / "rig"), lines.append, [missing])
    assert (False, False, []) == (report.failed, report.complete, list(tmp_path.iterdir()))
    assert "the time was up before all cycles had run" in lines
    assert "NOT TRIED: 500 power cuts on xfs: mkfs.xfs is not installed" in lines
    assert ["power cuts on xfs"] == [each["what"] for each in report.to_json_dict()["not_tried"]]
