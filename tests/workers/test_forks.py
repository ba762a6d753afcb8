"""A fork of the owner copies the handle of its workers, not the workers: the child leaves them alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

StartScript = Callable[[str], "subprocess.Popen[str]"]

PARENT_AND_CHILD = """
background = make()
run(background, jobs.flush(1))

def targets():
    paths = [os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    return {{os.readlink(path) for path in paths if os.path.lexists(path)}}

def child():
    try:
        background.submit(jobs.flush(2), Priority.FLUSH, print)
    except Exception as error:
        print(type(error).__name__, flush=True)
    background.close(5)
    ours = {{os.readlink(f"/proc/self/fd/{{fd}}") for fd in (1, 2)}}
    print(sorted(target for target in targets() - ours if target.startswith("pipe:")), flush=True)

{fork}

print(run(background, jobs.flush(3)), sum(report.restarts for report in background.worker_reports()))
background.close(5)
"""

OS_FORK = """
pid = os.fork()
if pid == 0:
    child()
    sys.exit(0)
print("child:", os.waitpid(pid, 0)[1], flush=True)
"""

MULTIPROCESSING_FORK = """
import multiprocessing, multiprocessing.resource_tracker
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print("child:", process.exitcode, flush=True)
"""


@pytest.mark.parametrize("fork", [OS_FORK, MULTIPROCESSING_FORK], ids=["os.fork", "multiprocessing"])
def test_a_forked_child_cannot_use_or_harm_the_workers(start_script: StartScript, fork: str) -> None:
    """Work is refused there, close does nothing, no pipe stays open, and the parent's worker goes on as before."""
    script = "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n" + PARENT_AND_CHILD.format(
        fork=fork
    )
    output, errors = start_script(script).communicate(timeout=20)
    lines = output.splitlines()
    pipes_of_multiprocessing = 0 if fork is OS_FORK else 2
    assert "ForkedHandleError" == lines[0], errors
    assert pipes_of_multiprocessing >= lines[1].count("pipe:")
    assert ["child: 0", "FlushDone 0"] == lines[2:]
    assert "" == errors


def test_a_background_made_in_a_forked_child_is_its_own(start_script: StartScript) -> None:
    """Prefork servers open their stores after the fork, though the parent had one."""
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
parent_background = make()
run(parent_background, jobs.flush(1))
pid = os.fork()
background = make() if pid == 0 else parent_background
print(run(background, jobs.flush(2)), flush=True)
background.close(5)
if pid == 0:
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
    assert ("FlushDone\nFlushDone\n0\n", "") == start_script(script).communicate(timeout=20)


def test_forks_while_workers_start_keep_no_pipe(start_script: StartScript) -> None:
    """A fork waits until the descriptors of a new worker are made, so that each child closes all of them."""
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
pids = []
stop = threading.Event()
def fork_on():
    while not stop.is_set() and len(pids) < 40:
        pid = os.fork()
        if pid == 0:
            ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in (1, 2)}
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]]
            os._exit(any(link.startswith("pipe:") and link not in ours for link in links))
        pids.append(pid)
thread = threading.Thread(target=fork_on)
thread.start()
for job in range(5):
    background = make()
    run(background, jobs.flush(job))
    background.close(5)
stop.set()
thread.join()
print(sum(os.waitpid(pid, 0)[1] != 0 for pid in pids), len(pids) > 5)
"""
    assert ("0 True\n", "") == start_script(script).communicate(timeout=30)
