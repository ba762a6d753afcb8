"""What the exit code of a command says, and which code and message an error becomes."""

from __future__ import annotations

import argparse
import os
import sys

from lsmproc.errors import DAMAGE_REMEDY, ConfigError, CorruptionError, Error, LockedError, NotAStoreError, StorageError

FINE = 0
NEGATIVE = 1  # the answer is no: the key is not there, the store is damaged, a check of demo or stress does not hold
CANNOT = 2  # wrong usage, or the question could not be answered: no store there, open elsewhere, not readable
INTERRUPTED = 130  # Ctrl-C
PIPE_CLOSED = 141  # the reader of the output went away, as with "| head"

DESCRIPTION = """\
exit codes:
  0    fine
  1    no: key not found, store damaged, settings wrong or different, not confirmed, a check of demo or stress
       does not hold, no living owner (top --once)
  2    cannot tell or cannot do: wrong usage, no store there, store open elsewhere, file not readable
  130  interrupted (Ctrl-C)
  141  the reader of the output went away
"""


class CannotError(Exception):
    """The command cannot do what was asked; the message says what is wrong with the request."""


def exit_code_of(error: Exception, arguments: argparse.Namespace) -> int | None:
    """Print an error that a user can cause, on stderr, and return its exit code; None for any other error."""
    if not isinstance(error, (CannotError, Error, OSError)):
        return None
    problems = error.problems if isinstance(error, ConfigError) else [_in_words(error, arguments)]
    for problem in problems:
        print(f"lsmproc: {problem}", file=sys.stderr)
    if isinstance(error, ConfigError) and getattr(arguments, "settings", None):
        print(f"lsmproc: lsmproc {arguments.command} --set help lists all settings", file=sys.stderr)
    return NEGATIVE if isinstance(error, CorruptionError) else CANNOT


def _in_words(error: Exception, arguments: argparse.Namespace) -> str:
    """The engine's messages speak of arguments of the API, and name files without the store's directory."""
    path = os.path.abspath(arguments.path) if hasattr(arguments, "path") else None
    if isinstance(error, LockedError):
        remedy = (
            "close it there, or wait for it with --wait SECONDS" if hasattr(arguments, "wait") else "close it there"
        )
        owner = error.owner or "another process"
        return f"the store {path or ''} is open, by {owner}: a store has one owner; {remedy}".replace("  ", " ")
    if isinstance(error, CorruptionError):
        if path is None:
            return f"damaged: {error}"
        import shlex  # noqa: PLC0415 - most commands meet no damage

        remedy = "" if "backup" in str(error) else f"; {DAMAGE_REMEDY}"
        return f"the store {path} is damaged: {error}{remedy}; lsmproc verify {shlex.quote(path)} shows all there is"
    if isinstance(error, NotAStoreError) and path is not None and "create_if_missing" in str(error):
        return f"there is no store at {path}; check the path, or make a store with lsmproc put or lsmproc load"
    if isinstance(error, StorageError) and error.filename:
        return f"{os.path.join(path or '', os.fsdecode(error.filename))}: {error.strerror}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)
