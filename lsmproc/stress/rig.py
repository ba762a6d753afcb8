"""The driver: runs the cycles of a plan, each with its fault and its look at what is left, until one fails."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lsmproc.storage.file_system import CREATE_NEW, PosixFileSystem
from lsmproc.stress.episode import Episode
from lsmproc.stress.plan import EpisodePlan, StressPlan, episodes
from lsmproc.stress.report import CycleResult, StressReport

MARKER = "LSMPROC-STRESS"  # a directory with this file was made by the rig and may be emptied by it
_OWN_NAMES = ("store", "store.cut", "volume", "evidence")


def run_stress(plan: StressPlan, directory: str, write: Callable[[str], None]) -> StressReport:
    """Run the plan in ``directory`` and hand each line of the report to ``write`` when it is known.

    Stops at the first cycle that breaks a promise, and then leaves the directory; otherwise it is removed at the end.
    Ctrl-C ends the run with its report. Raises FileExistsError for a directory that the rig did not make.
    """
    root = _claim(directory)
    started = time.monotonic()
    every = list(episodes(plan))
    report = StressReport(plan.seed, sum(len(each.cycles) for each in every))
    try:
        for episode in every:
            if report.failed or not _run_episode(plan, episode, root, started, report, write):
                break
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        report.seconds = time.monotonic() - started
        if not report.failed:
            shutil.rmtree(root)
    if report.failed:
        report.evidence = str(root / "evidence")
        report.replay = replay_command(plan.replace(only_episode=report.cycles[-1].episode))
        _leave_report(root / "evidence", report)
    for line in report.lines():
        write(line)
    return report


def replay_command(plan: StressPlan) -> str:
    """The command line that runs this plan again."""
    words = ["lsmproc", "stress", "--seed", str(plan.seed)]
    if plan.only_episode is not None:
        words += ["--episode", str(plan.only_episode)]
    for option, count in (
        ("--owner-kills", plan.owner_kills),
        ("--flush-worker-kills", plan.flush_worker_kills),
        ("--compaction-worker-kills", plan.compaction_worker_kills),
        ("--worker-stops", plan.worker_stops),
        ("--log-damages", plan.log_damages),
        ("--power-cuts", plan.power_cuts),
    ):
        words += [option, str(count)]
    defaults = StressPlan(plan.seed)
    if plan.interval_seconds != defaults.interval_seconds:
        words += ["--interval", ":".join(f"{seconds:g}" for seconds in plan.interval_seconds)]
    if plan.sync != defaults.sync:
        words += ["--sync", ",".join(plan.sync)]
    if plan.option_sets:
        words += ["--options", ",".join(plan.option_sets)]
    if plan.volumes != defaults.volumes:
        words += ["--volumes", ",".join(plan.volumes)]
    if plan.threads != defaults.threads:
        words += ["--threads", ",".join(map(str, plan.threads))]
    if plan.sabotage:
        words += ["--sabotage", plan.sabotage]
    return " ".join(words)


def _claim(directory: str) -> Path:
    """Make the directory, or take over one that an earlier run of the rig made and left."""
    root = Path(directory)
    if not root.exists():
        root.mkdir(0o700, parents=True)
        (root / MARKER).touch()
    elif any(root.iterdir()) and not (root / MARKER).exists():
        raise FileExistsError(f"{root} was not made by the stress rig; name a directory that does not exist yet")
    (root / MARKER).touch()
    for name in _OWN_NAMES:
        shutil.rmtree(root / name, ignore_errors=True)
    return root


def _run_episode(
    plan: StressPlan,
    episode_plan: EpisodePlan,
    root: Path,
    started: float,
    report: StressReport,
    write: Callable[[str], None],
) -> bool:
    """Run the cycles of one episode on a fresh store; False when the time is up."""
    for name in _OWN_NAMES:
        shutil.rmtree(root / name, ignore_errors=True)
    episode = Episode(plan, episode_plan, root)
    try:
        for result in _in_time(episode, started + plan.seconds):
            report.cycles.append(result)
            write(result.line())
            if result.problems:
                return False
    finally:
        episode.end()
    return time.monotonic() < started + plan.seconds


def _in_time(episode: Episode, deadline: float) -> Iterator[CycleResult]:
    """The results of the episode's cycles, as long as there is time."""
    cycles = episode.plan.cycles
    for place, cycle in enumerate(cycles):
        if time.monotonic() >= deadline:
            return
        yield episode.run(cycle, last=place == len(cycles) - 1)


def _leave_report(evidence: Path, report: StressReport) -> None:
    """Put the report beside the copy of the store."""
    evidence.mkdir(exist_ok=True)
    fs = PosixFileSystem(str(evidence))
    try:
        fd = fs.open("report.json", CREATE_NEW)
        try:
            fs.write_all(fd, json.dumps(report.to_json_dict(), default=repr, indent=1).encode(), 0)
        finally:
            fs.close(fd)
    finally:
        fs.shut()
