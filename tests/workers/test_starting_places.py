"""Workers start wherever a store may be opened: nothing is asked of the program around it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lsmproc.errors import ConfigError
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.workers.process_background import ProcessBackground

StartScript = Callable[[str], "subprocess.Popen[str]"]

ONE_JOB = """
background = make()
print(run(background, jobs.flush(1)))
background.close(5)
"""

IN_A_THREAD = """
def work():
    background = make()
    print(run(background, jobs.flush(1)))
    background.close(5)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""

STARTED_BY_A_THREAD_THAT_ENDS = """
made = []
thread = threading.Thread(target=lambda: (made.append(make()), run(made[0], jobs.flush(1))))
thread.start()
thread.join()
print(run(made[0], jobs.flush(2)), sum(report.restarts for report in made[0].worker_reports()))
made[0].close(5)
"""

IN_A_DAEMONIC_PROCESS = """
import multiprocessing
def work():
    background = make()
    print(run(background, jobs.flush(1)), flush=True)
    background.close(5)
process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
process.start()
process.join()
"""

IN_A_POOL = """
import multiprocessing
def work(job):
    background = make()
    name = run(background, jobs.flush(job))
    background.close(5)
    return name
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.map(work, range(4)))
"""

WITH_CLOSED_STANDARD_STREAMS = """
report = os.dup(1)
for fd in (0, 1, 2):
    os.close(fd)
background = make()
name = run(background, jobs.flush(1))
background.close(5)
os.write(report, name.encode())
"""

IN_A_REMOVED_DIRECTORY = """
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
background = make()
print(run(background, jobs.flush(1)))
background.close(5)
"""

BESIDE_FILES_NAMED_AS_MODULES = """
for name in ("multiprocessing", "struct", "workers", "types", "logging", "msgpack"):
    with open(name + ".py", "w") as file:
        file.write("raise SystemExit('imported a file of the host')")
sys.path.remove(os.getcwd())
background = make()
print(run(background, jobs.flush(1)))
background.close(5)
"""

WHERE_ALL_CHILDREN_ARE_REAPED = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
background = make()
print(run(background, jobs.flush(1)), run(background, jobs.flush(2, jobs.DIE_ONCE)))
background.close(5)
"""


@pytest.mark.parametrize(
    ("place", "printed"),
    [
        (ONE_JOB, "FlushDone"),
        (IN_A_THREAD, "FlushDone"),
        (STARTED_BY_A_THREAD_THAT_ENDS, "FlushDone 0"),
        (IN_A_DAEMONIC_PROCESS, "FlushDone"),
        (IN_A_POOL, "FlushDone FlushDone FlushDone FlushDone"),
        (WITH_CLOSED_STANDARD_STREAMS, "FlushDone"),
        (IN_A_REMOVED_DIRECTORY, "FlushDone"),
        (BESIDE_FILES_NAMED_AS_MODULES, "FlushDone"),
    ],
    ids=[
        "no-main-guard",
        "thread",
        "thread-that-ends",
        "daemonic-process",
        "pool",
        "closed-streams",
        "removed-directory",
        "shadowing-files",
    ],
)
def test_a_job_runs_quietly(start_script: StartScript, place: str, printed: str) -> None:
    """The job is done, and nothing else is printed."""
    assert (printed, "") == tuple(text.strip() for text in start_script(place).communicate(timeout=20))


def test_a_job_runs_though_the_application_ignores_its_children(start_script: StartScript) -> None:
    """The kernel reaps the workers then; their deaths are still noticed and told of in the log only."""
    output, errors = start_script(WHERE_ALL_CHILDREN_ARE_REAPED).communicate(timeout=20)
    assert "FlushDone FlushDone" == output.strip()
    assert "died during" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("way", ["command", "standard input", "module"])
def test_a_job_runs_in_a_program_without_a_file(
    script_environment: dict[str, str], tmp_path: Path, way: str, request: pytest.FixtureRequest
) -> None:
    """There is no ``__main__`` to import again, and none is asked for."""
    script = request.getfixturevalue("script_start") + ONE_JOB
    arguments = {"command": ["-c", script], "standard input": ["-"], "module": ["-m", "script_module"]}[way]
    (tmp_path / "script_module.py").write_text(script)
    finished = subprocess.run(
        [sys.executable, *arguments],
        input=script,
        capture_output=True,
        text=True,
        timeout=20,
        cwd=tmp_path,
        env=script_environment,
        check=False,
    )
    assert (0, "FlushDone\n", "") == (finished.returncode, finished.stdout, finished.stderr)


def test_nothing_of_multiprocessing_is_left_behind(start_script: StartScript) -> None:
    """No resource tracker is started, and the application's ``active_children`` shows no process of ours."""
    script = """
import multiprocessing, multiprocessing.resource_tracker, psutil
background = make()
run(background, jobs.flush(1))
print(len(psutil.Process().children(recursive=True)), multiprocessing.active_children(),
      multiprocessing.resource_tracker._resource_tracker._pid)
background.close(5)
print(len(psutil.Process().children(recursive=True)))
"""
    assert ("1 [] None\n0\n", "") == start_script(script).communicate(timeout=20)


@pytest.mark.parametrize(
    ("module", "asked"), [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")]
)
def test_green_threads_are_refused(module: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for processes does not work there; the message names what does."""
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{asked: lambda _: True}))
    with pytest.raises(ConfigError, match="inline"):
        ProcessBackground(1, 1, RateLimiter(None))
