"""What the exit code of a command says, and which code and message an error becomes."""

from __future__ import annotations

import sys

from lsmproc.errors import ConfigError, CorruptionError, Error, LockedError

FINE = 0
NEGATIVE = 1  # the answer is no: the key is not there, the store is damaged, a step of the demo does not hold
CANNOT = 2  # wrong usage, or the question could not be answered: no store there, open elsewhere, not readable
INTERRUPTED = 130  # Ctrl-C
PIPE_CLOSED = 141  # the reader of the output went away, as with "| head"

DESCRIPTION = """\
exit codes:
  0    fine
  1    no: key not found, store damaged, a step of the demo does not hold
  2    cannot tell or cannot do: wrong usage, no store there, store open elsewhere, file not readable
  130  interrupted (Ctrl-C)
  141  the reader of the output went away
"""


class CannotError(Exception):
    """The command cannot do what was asked; the message says what is wrong with the request."""


def exit_code_of(error: Exception) -> int | None:
    """Print an error that a user can cause, on stderr, and return its exit code; None for any other error."""
    if isinstance(error, LockedError):
        # The engine's own message speaks of arguments of the API.
        remedy = "a store has one owner; close it there, or wait for it with --wait SECONDS"
        print(f"lsmproc: the store is open, by {error.owner or 'another process'}: {remedy}", file=sys.stderr)
        return CANNOT
    if isinstance(error, CorruptionError):
        print(f"lsmproc: damaged: {error}", file=sys.stderr)
        return NEGATIVE
    if isinstance(error, ConfigError):
        for problem in error.problems:
            print(f"lsmproc: {problem}", file=sys.stderr)
        return CANNOT
    if isinstance(error, (CannotError, Error, OSError)):
        print(f"lsmproc: {error}", file=sys.stderr)
        return CANNOT
    return None
