"""Runs a plan that mounts volumes in a process with mounts of its own, which end with it whatever happens."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from lsmproc.stress.plan import StressPlan
from lsmproc.stress.replay import replay_command
from lsmproc.stress.report import NotTried

_NAMESPACE = "LSMPROC_STRESS_NAMESPACE"  # set in the child: what its parent knows not to be possible, as JSON


def is_private() -> bool:
    """Whether this process has mounts of its own already."""
    return _NAMESPACE in os.environ


def told_not_tried() -> list[NotTried]:
    """What the parent found out; it asked for what is left by name."""
    return [NotTried(**each) for each in json.loads(os.environ.get(_NAMESPACE, "[]"))]


def run_with_private_mounts(plan: StressPlan, not_tried: Sequence[NotTried], arguments: argparse.Namespace) -> int:
    """Run the plan and return the exit code."""
    words = [*replay_command(plan).split()[1:], "--seconds", str(plan.seconds)]
    words += ["--dir", arguments.dir] if arguments.dir else []
    words += ["--json"] if arguments.json else []
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "lsmproc", *words]
    # In a session of its own, so that it gets each Ctrl-C once, from here, and ends with its report.
    told = json.dumps([asdict(each) for each in not_tried])
    child = subprocess.Popen(  # noqa: S603 - this very command
        command, env={**os.environ, _NAMESPACE: told}, start_new_session=True
    )
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
