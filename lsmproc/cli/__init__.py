"""The command line: ``lsmproc``, or ``python -m lsmproc``.

Each command is one module with two functions: ``add_to(commands)`` declares its arguments, ``run(arguments)`` does the
work and returns the exit code. What a command needs of the engine is imported when it runs. What commands print for
machines (``--json``, ``dump``) only grows: fields are added, never renamed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lsmproc.cli.arguments import make_parser
from lsmproc.cli.exit_codes import CANNOT, INTERRUPTED, PIPE_CLOSED, exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Expected errors are one line on stderr, never a traceback."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help(sys.stderr)
        return CANNOT
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("lsmproc: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. The flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        expected = exit_code_of(error, arguments)
        if expected is None:
            raise
        return expected
    return code
