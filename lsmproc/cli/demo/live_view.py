"""Shows a load while it runs: records, levels, worker processes, limiter.

With rich on a terminal, a block that is redrawn; on a terminal without rich, one line that is rewritten; elsewhere a
line every other second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lsmproc.cli.progress import rich_is_installed

if TYPE_CHECKING:
    from typing import TextIO

    from lsmproc.cli.demo.loader import Figures

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 2.0
_BAR_WIDTH = 40


class LiveView:
    """A context manager; ``show`` may be called as often as there is news."""

    def __init__(
        self, output: TextIO, total: int, *, clock: Callable[[], float] = time.monotonic, rich: bool | None = None
    ) -> None:
        """Show a load of ``total`` records on ``output``; ``rich`` None means: if installed."""
        self._output = output
        self._total = total
        self._clock = clock
        self._began = self._due = clock()
        self._terminal = output.isatty() and os.environ.get("TERM") != "dumb"
        self._due += 0.0 if self._terminal else _LINE_SECONDS
        self._live: Any = None
        self._width = 0
        if self._terminal and (rich_is_installed() if rich is None else rich):
            from rich.console import Console  # noqa: PLC0415 - optional
            from rich.live import Live  # noqa: PLC0415 - optional

            self._live = Live(console=Console(file=output, highlight=False), transient=True, auto_refresh=False)

    def show(self, done: int, figures: Figures) -> None:
        """So many records are in the store, of which the load process says ``figures``."""
        now = self._clock()
        if now < self._due or not figures:
            return
        if self._live is not None:
            from rich.text import Text  # noqa: PLC0415 - optional

            block = "\n".join(block_of(done, self._total, figures))
            self._live.update(Text(block, no_wrap=True, overflow="ellipsis"), refresh=True)
        elif self._terminal:
            line = line_of(done, self._total, figures)[: _columns(self._output) - 1]
            self._output.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._output.write(f"  {now - self._began:4.1f} s  {line_of(done, self._total, figures)}\n")
        self._output.flush()
        self._due = now + (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS)

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the view away."""
        if self._live is not None:
            self._live.stop()
        elif self._width:
            self._output.write("\r" + " " * self._width + "\r")
            self._output.flush()


def block_of(done: int, total: int, figures: Figures) -> list[str]:
    """The figures as a block of lines."""
    filled = round(_BAR_WIDTH * done / total)
    memtable, immutable, limiter = figures["memtable"], figures["immutable_memtables"], figures["limiter"]
    lines = [
        f"  [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done:,} of {total:,} records",
        f"  memtable {_mb(memtable['bytes'])}, {immutable['count']} waiting for their flush",
    ]
    for level in figures["levels"]:
        if level["files"] or level["compactions"]:
            score = min(level["score"], 2.0)
            lines.append(
                f"  L{level['level']} {level['files']:4} tables {_mb(level['bytes']):>9}"
                f"  score {level['score']:5.2f} {'=' * round(10 * score)}"
            )
    lines += [
        f"  {worker['name']:<13} pid {worker['pid'] or '-':<8} {worker['state']:<8} {worker['jobs_done']:3} jobs done"
        f"  {worker['job']}"
        for worker in figures["workers"]
    ]
    lines.append(f"  {_limiter(limiter)}")
    lines.append(f"  writes {figures['stall']['state']} ({figures['stall']['reason']})")
    return lines


def line_of(done: int, total: int, figures: Figures) -> str:
    """The figures as one line."""
    levels = " ".join(f"L{level['level']}={level['files']}" for level in figures["levels"] if level["files"])
    workers = " ".join(f"{worker['name']}:{worker['jobs_done']}" for worker in figures["workers"])
    return f"{done:,}/{total:,} records | {levels or 'no tables'} | jobs {workers} | {_limiter(figures['limiter'])}"


def _limiter(limiter: dict[str, Any]) -> str:
    rate = limiter["bytes_per_second"]
    limit = "off" if rate is None else f"{_mb(rate)}/s"
    return f"limiter {limit}, {_mb(limiter['granted_bytes'])} granted, waited {limiter['waited_seconds']:.1f} s"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _columns(output: TextIO) -> int:
    try:
        return os.get_terminal_size(output.fileno()).columns or 80
    except OSError:
        return 80
