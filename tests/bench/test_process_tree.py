"""What a process tree uses is counted with the processes that have ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lsmproc.bench import process_tree
from lsmproc.bench.process_tree import MemorySampler


def test_a_child_that_ended_keeps_its_bytes_and_its_processor_time(tmp_path: Path) -> None:
    """A worker that is replaced must not take its work out of the sum."""
    written, used = process_tree.written_bytes(), process_tree.cpu_seconds()
    if not written:
        pytest.skip("this kernel does not count what a process writes")
    program = "import sys; open(sys.argv[1], 'wb').write(bytes(8 << 20)); sum(range(3_000_000))"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], timeout=60, check=True)
    if process_tree.written_bytes() == written:
        pytest.skip("the directory for temporary files is in memory")
    assert process_tree.written_bytes() - written >= 8 << 20
    assert process_tree.cpu_seconds() - used > 0.01


def test_pages_that_processes_share_are_counted_once() -> None:
    """The sum of resident bytes counts the interpreter's pages for each process."""
    sampler = MemorySampler(os.getpid())
    program = "import sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as child:  # type: ignore[call-overload]
        child.stdout.readline()
        sampler.sample(thorough=True)
        child.stdin.close()
        child.wait(30)
    if not sampler.proportional_peak_bytes:
        pytest.skip("this system does not tell shares")
    assert sampler.proportional_peak_bytes < sampler.peak_bytes
    assert 2 == sampler.process_count
