"""What a benchmark refuses or fails with. Both are told in one line, without a traceback."""

from __future__ import annotations

from lsmproc.errors import Error


class OptionError(Error, ValueError):
    """The run cannot be made as asked for; the message names the option and what it may be."""


class SessionFailedError(Error):
    """A process that measured ended without a result; the message holds what it wrote to standard error."""
