"""The driver: runs the cycles of a plan, each with its fault and its look at what is left, until one fails."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lsmproc.storage.file_system import CREATE_NEW, PosixFileSystem
from lsmproc.stress.cycle_result import CycleResult
from lsmproc.stress.episode import Episode
from lsmproc.stress.faults import POINT_FAULTS
from lsmproc.stress.plan import COUNTS, StressPlan
from lsmproc.stress.replay import replay_command
from lsmproc.stress.report import NotTried, StressReport
from lsmproc.stress.schedule import EpisodePlan, episodes, points_of
from lsmproc.stress.soak import Soak, SoakReport

MARKER = "LSMPROC-STRESS"  # a directory with this file was made by the rig and may be emptied by it


def run_stress(
    plan: StressPlan, directory: str, write: Callable[[str], None], not_tried: Sequence[NotTried] = ()
) -> StressReport:
    """Run the plan in ``directory`` and hand each line of the report to ``write`` when it is known.

    ``not_tried`` is what the plan leaves out because the machine cannot do it. Stops at the first cycle that breaks a
    promise, and then leaves the directory; otherwise it is removed at the end. Ctrl-C ends the run with its report.
    Raises FileExistsError for a directory that the rig did not make.
    """
    root = claim_directory(directory)
    started = time.monotonic()
    every = list(episodes(plan))
    report = StressReport(plan.seed, sum(len(each.cycles) for each in every), not_tried=list(not_tried))
    report.points = {fault.value: points_of(plan, fault) for fault in POINT_FAULTS}
    try:
        for episode in every:
            if report.broken or not _run_episode(plan, episode, root, started, report, write):
                break
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        report.seconds = time.monotonic() - started
        if not report.broken:
            shutil.rmtree(root)
    if report.unreached():
        report.replay = replay_command(plan)
    if report.broken:
        report.evidence = str(root / "evidence")
        report.replay = replay_command(plan.replace(only_episode=report.cycles[-1].episode))
        _leave_report(root / "evidence", report)
    for line in report.lines():
        write(line)
    return report


def run_soak(plan: StressPlan, seconds: float, directory: str, write: Callable[[str], None]) -> SoakReport:
    """Run one owner under load for so long, as ``run_stress`` runs a plan; see ``soak``."""
    root = claim_directory(directory)
    soak = Soak(plan, seconds, root, write)
    report = soak.report
    try:
        soak.run()
    finally:
        if not report.problems:
            shutil.rmtree(root)
    if report.failed:
        report.replay = f"{replay_command(plan.replace(**dict.fromkeys(COUNTS, 0)))} --soak {seconds:g}"
    if report.problems:
        report.evidence = str(root / "evidence")
        _leave_report(root / "evidence", report)
    for line in report.lines():
        write(line)
    return report


def claim_directory(directory: str) -> Path:
    """Make the directory, or empty one that an earlier run of the rig made and left. Raises FileExistsError."""
    root = Path(directory)
    if not root.exists():
        root.mkdir(0o700, parents=True)
        (root / MARKER).touch()
    elif any(root.iterdir()) and not (root / MARKER).exists():
        raise FileExistsError(f"{root} was not made by the stress rig; name a directory that does not exist yet")
    (root / MARKER).touch()
    _clear(root)
    return root


def _clear(root: Path) -> None:
    """Remove what the last store left, but for what Python has compiled."""
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name != "bytecode":
                shutil.rmtree(path, ignore_errors=True)
        elif path.name != MARKER:
            path.unlink()


def _run_episode(
    plan: StressPlan,
    episode_plan: EpisodePlan,
    root: Path,
    started: float,
    report: StressReport,
    write: Callable[[str], None],
) -> bool:
    """Run the cycles of one episode on a fresh store; False when the time is up."""
    _clear(root)
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


def _leave_report(evidence: Path, report: StressReport | SoakReport) -> None:
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
