"""The first thing a user meets: help that is quick, complete and true."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lsmproc.config import profile_names

Run = Callable[..., Any]

COMMANDS = (
    "demo",
    "put",
    "get",
    "delete",
    "scan",
    "load",
    "dump",
    "stats",
    "top",
    "why",
    "tune",
    "serve-metrics",
    "verify",
    "repair",
    "doctor",
    "config",
    "stress",
    "info",
    "shell",
    "compact",
    "flush",
    "checkpoint",
    "destroy",
    "bench",
)


def test_help_lists_every_command_and_the_exit_codes(run: Run) -> None:
    """One page tells what there is."""
    text = run("--help").out.decode()
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "}
    assert set() == set(COMMANDS) - listed
    assert "exit codes:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_examples_of_itself(run: Run, command: str) -> None:
    """Examples are read before the list of options."""
    done = run(command, "--help")
    assert 0 == done.code
    assert f"\n  lsmproc {command}" in done.out.decode().partition("examples:")[2]


def test_no_command_at_all_prints_the_help_as_a_mistake(run: Run) -> None:
    """On stderr, with the exit code of wrong usage."""
    done = run()
    assert (2, b"", True) == (done.code, done.out, "usage: lsmproc" in done.err)


def test_an_unknown_option_is_exit_code_2(run: Run) -> None:
    """As argparse does."""
    assert 2 == run("get", "--colour").code


def test_help_loads_neither_the_engine_nor_rich() -> None:
    """Help is quick on a slow disk, and works where a dependency is broken."""
    program = (
        "import sys; from lsmproc.cli.arguments import make_parser; make_parser().format_help();"
        "print([m for m in ('rich', 'msgpack', 'lsmproc.store', 'multiprocessing', 'tomllib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "[]\n" == done.stdout


def test_python_m_is_the_same_command(run_process: Run) -> None:
    """No console script is needed."""
    assert b"usage: lsmproc" in run_process("--help").stdout


def test_help_names_every_profile(run: Run) -> None:
    """So that nobody has to look for the files."""
    text = " ".join(run("put", "--help").out.decode().split())
    assert ", ".join(profile_names()) in text.replace("- ", "-")


def test_set_help_lists_every_setting(run: Run) -> None:
    """Each with what it accepts, and without a store."""
    done = run("put", "--set", "help")
    assert (0, True) == (done.code, b"\n# Accepts: 1KiB to 4GiB.\nmemtable_max_bytes = " in done.out)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("put", "S", "k", "-v"), "comes after --"),
        (("get", "S", "-k"), "comes after --"),
        (("scan", "S", "--start", "-k"), "--start=-key"),
        (("put", "S", "k", "--file", "f", "v"), "not both"),
    ],
)
def test_a_mistake_of_form_has_a_hint(run: Run, arguments: tuple[str, ...], hint: str) -> None:
    """What argparse says of these is true and no help."""
    done = run(*arguments)
    assert (2, True) == (done.code, hint in done.err)
