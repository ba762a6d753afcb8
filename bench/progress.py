"""What goes on, on standard error: one line that changes on a terminal, a line each elsewhere."""

from __future__ import annotations

import sys


def tell(text: str) -> None:
    """Show where the run is; an empty text ends the line. What is in capitals stays on the terminal."""
    if not sys.stderr.isatty():
        if text:
            print(text, file=sys.stderr, flush=True)
        return
    stays = text[:3].isupper()
    print(f"\r\x1b[K{text}", end="\n" if stays else "" if text else "\r", file=sys.stderr, flush=True)
