"""Where ``lsmproc top`` draws: a screen of rich, a terminal without rich, or a stream that is no terminal.

On a terminal the screen is redrawn in place and the key q ends it. Elsewhere the lines are printed one below the other.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from lsmproc.cli.progress import rich_is_installed
from lsmproc.cli.top.view import Line

if TYPE_CHECKING:
    from typing import TextIO

_WIDTH_ELSEWHERE = 120
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


class Screen(Protocol):
    """What the command draws on."""

    @property
    def width(self) -> int:
        """Columns."""

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines in place of those before."""

    def wait(self, seconds: float) -> bool:
        """Wait; whether the user wants to leave."""


@contextmanager
def open_screen(output: TextIO, *, once: bool, rich: bool | None = None) -> Iterator[Screen]:
    """A screen on ``output``; ``rich`` None means: if installed. ``once``: nothing will be redrawn."""
    terminal = output.isatty() and os.environ.get("TERM") != "dumb"
    rich = rich_is_installed() if rich is None else rich
    if once or not terminal:
        yield _Paper(output, rich=rich and terminal)
        return
    with _keys() as keys:
        if not rich:
            yield _PlainTerminal(output, keys)
            return
        screen = _RichTerminal(output, keys)
        with screen.live:
            yield screen


class _Keys:
    """The keyboard, read key by key where that is possible."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def wait_for_q(self, seconds: float) -> bool:
        """Wait for the key q; whether it came."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._fd is None:
                time.sleep(left)
            elif select.select([self._fd], [], [], left)[0]:
                pressed = os.read(self._fd, 64)
                if not pressed:
                    self._fd = None  # The end of the input is no wish to leave.
                elif set(pressed) & set(b"qQ\x03"):
                    return True
        return False


@contextmanager
def _keys() -> Iterator[_Keys]:
    """The keyboard, without waiting for the end of a line, and without showing what is typed."""
    import termios  # noqa: PLC0415 - terminals only

    try:
        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
    except (OSError, ValueError, AttributeError, termios.error):
        yield _Keys(None)
        return
    raw = termios.tcgetattr(fd)
    raw[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)
    try:
        yield _Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Paper:
    """Lines below lines, for a file, a pipe or a single look."""

    def __init__(self, output: TextIO, *, rich: bool) -> None:
        self._output = output
        self._rich = rich
        self.width = shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns if output.isatty() else _WIDTH_ELSEWHERE

    def show(self, lines: Sequence[Line]) -> None:
        if self._rich:
            from rich.console import Console  # noqa: PLC0415 - optional

            # Given again: print makes a text of its own from those that it is given.
            Console(file=self._output, highlight=False).print(rich_text(lines), no_wrap=True, overflow="ellipsis")
        else:
            width = self.width if self._output.isatty() else None  # A file or a pipe has room for whole lines.
            self._output.write("\n".join(plain_lines(lines, width)) + "\n")
        self._output.flush()

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        self._output.write("\n")
        return False


class _PlainTerminal:
    """A terminal without rich: no colours, drawn from the top each time."""

    def __init__(self, output: TextIO, keys: _Keys) -> None:
        self._output = output
        self._keys = keys

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    def show(self, lines: Sequence[Line]) -> None:
        columns, rows = shutil.get_terminal_size()
        shown = plain_lines(lines, columns - 1)[: max(1, rows - 1)]
        self._output.write(_HOME_AND_CLEAR + "\n".join(shown))
        self._output.flush()

    def wait(self, seconds: float) -> bool:
        return self._keys.wait_for_q(seconds)


class _RichTerminal:
    """A terminal with rich: the other screen, in colour unless NO_COLOR is set."""

    def __init__(self, output: TextIO, keys: _Keys) -> None:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.live import Live  # noqa: PLC0415 - optional

        self._console = Console(file=output, highlight=False)
        self._keys = keys
        self.live = Live(console=self._console, screen=True, auto_refresh=False)

    @property
    def width(self) -> int:
        return int(self._console.width)

    def show(self, lines: Sequence[Line]) -> None:
        self.live.update(rich_text(lines[: max(1, self._console.height)]), refresh=True)

    def wait(self, seconds: float) -> bool:
        return self._keys.wait_for_q(seconds)


def plain_lines(lines: Sequence[Line], width: int | None) -> list[str]:
    """The lines without styles, cut to ``width``; control characters, which paths may hold, are shown as dots."""
    texts = ("".join(span.text for span in line) for line in lines)
    return ["".join(each if each.isprintable() else "." for each in text)[:width] for text in texts]


def rich_text(lines: Sequence[Line]) -> Any:
    """The lines as one text of rich."""
    from rich.text import Text  # noqa: PLC0415 - optional

    text = Text(no_wrap=True, overflow="ellipsis")
    for number, line in enumerate(lines):
        if number:
            text.append("\n")
        for span in line:
            text.append("".join(each if each.isprintable() else "." for each in span.text), span.style or None)
    return text
