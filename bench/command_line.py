"""The command: reads the options and hands over to what was asked for."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from lsmproc.bench import options as bench_options
from lsmproc.bench.errors import OptionError, SessionFailedError


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m lsmproc.bench``; the exit status: 0, 1 if something failed, 2 if it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m lsmproc.bench", description="Measure lsmproc and its peers.")
    bench_options.add_to(parser)
    try:
        return run(parser.parse_args(arguments))
    except (OptionError, SessionFailedError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; what --json FILE holds can be gone on with by --resume", file=sys.stderr)
        return 130


def run(options: argparse.Namespace) -> int:
    """Measure what the options say; the exit status. Raises OptionError, SessionFailedError."""
    bench_options.check(options)
    if threading.current_thread() is not threading.main_thread():
        return _measure(options)
    # The stores of a run take gigabytes, which must be removed however it is stopped.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _measure(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _measure(options: argparse.Namespace) -> int:
    match options.what:
        case "sizes":
            from lsmproc.bench.beyond.sizes import run_sizes  # noqa: PLC0415 - help and the others need no engine

            return run_sizes(options)
        case "backlog":
            from lsmproc.bench.beyond.backlog import run_backlog  # noqa: PLC0415 - as above

            return run_backlog(options)
        case "foreground":
            from lsmproc.bench.beyond.foreground import run_foreground  # noqa: PLC0415 - as above

            return run_foreground(options)
        case "limiter":
            from lsmproc.bench.beyond.limiter import run_limiter  # noqa: PLC0415 - as above

            return run_limiter(options)
        case "micro":
            from lsmproc.bench.micro import run_micro  # noqa: PLC0415 - as above

            return run_micro(options.only)
        case _:
            from lsmproc.bench.table_run import run_table  # noqa: PLC0415 - as above

            return run_table(options)
