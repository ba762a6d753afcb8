"""The command line that runs a plan again."""

from __future__ import annotations

from lsmproc.stress.plan import COUNTS, StressPlan


def replay_command(plan: StressPlan) -> str:
    """All that differs from the defaults; the counts always, for they decide which cycle has which number."""
    words = ["lsmproc", "stress", "--seed", str(plan.seed)]
    if plan.only_episode is not None:
        words += ["--episode", str(plan.only_episode)]
    for name in COUNTS:
        if value := getattr(plan, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    defaults = StressPlan(plan.seed)
    if plan.interval_seconds != defaults.interval_seconds:
        words += ["--interval", ":".join(f"{seconds:g}" for seconds in plan.interval_seconds)]
    for name in ("sync", "volumes", "disks", "threads", "points"):
        if getattr(plan, name) != getattr(defaults, name):
            words += [f"--{name}", ",".join(map(str, getattr(plan, name)))]
    if plan.option_sets:
        words += ["--options", ",".join(plan.option_sets)]
    if plan.sabotage:
        words += ["--sabotage", plan.sabotage]
    return " ".join(words)
