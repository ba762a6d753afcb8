"""A progress bar on stderr for what takes longer than a second.

Drawn by rich where it is installed, as one rewritten line otherwise; only on a terminal, and not before a second has
passed. rich itself honours NO_COLOR; the plain line has no colour.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from typing import TextIO

_PATIENCE_SECONDS = 1.0
_REDRAW_SECONDS = 0.1


class _Drawing(Protocol):
    """How progress is shown once it is."""

    def draw(self, done: int, total: int | None) -> None:
        """Show this state."""

    def erase(self) -> None:
        """Leave nothing on the screen."""


class Progress:
    """Counts work that is done. Use as a context manager; ``update`` is cheap before a bar is due."""

    def __init__(
        self,
        label: str,
        unit: str,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        rich: bool | None = None,
    ) -> None:
        """Show ``label`` and counts of ``unit`` ("bytes" are shown as MB); ``rich`` None means: if installed."""
        self._label = label
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._rich = rich
        self._visible = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._due = clock() + _PATIENCE_SECONDS
        self._drawing: _Drawing | None = None

    def update(self, done: int, total: int | None = None) -> None:
        """So much of ``total`` is done; None if nobody knows the total."""
        if not self._visible or self._clock() < self._due:
            return
        if self._drawing is None:
            self._drawing = self._new_drawing()
        self._drawing.draw(done, total)
        self._due = self._clock() + _REDRAW_SECONDS

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._drawing is not None:
            self._drawing.erase()

    def _new_drawing(self) -> _Drawing:
        rich = rich_is_installed() if self._rich is None else self._rich
        return (_RichBar if rich else _PlainLine)(self._label, self._unit, self._stream)


def rich_is_installed() -> bool:
    """Whether the extra ``lsmproc[cli]`` is there."""
    return importlib.util.find_spec("rich") is not None


class _PlainLine:
    """One line, rewritten in place."""

    def __init__(self, label: str, unit: str, stream: TextIO) -> None:
        self._label = label
        self._unit = unit
        self._stream = stream
        self._width = 0

    def draw(self, done: int, total: int | None) -> None:
        line = f"{self._label}: {amount(done, self._unit)}"
        if total:
            line += f" of {amount(total, self._unit)} ({done / total:.0%})"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def erase(self) -> None:
        self._stream.write("\r" + " " * self._width + "\r")
        self._stream.flush()


class _RichBar:
    """A bar of rich."""

    def __init__(self, label: str, unit: str, stream: TextIO) -> None:
        from rich import progress  # noqa: PLC0415 - optional, and 100 ms to import
        from rich.console import Console  # noqa: PLC0415 - optional

        self._unit = unit
        columns: tuple[Any, ...] = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[amount]}"),
            progress.TimeRemainingColumn(),
        )
        self._bar = progress.Progress(*columns, console=Console(file=stream), transient=True)
        self._task = self._bar.add_task(label, total=None, amount="")
        self._bar.start()

    def draw(self, done: int, total: int | None) -> None:
        of = f" of {amount(total, self._unit)}" if total else ""
        self._bar.update(self._task, completed=done, total=total, amount=amount(done, self._unit) + of)

    def erase(self) -> None:
        self._bar.stop()


def amount(count: int, unit: str) -> str:
    """A count with its unit, for people."""
    return f"{count / 1e6:,.1f} MB" if unit == "bytes" else f"{count:,} {unit}"
