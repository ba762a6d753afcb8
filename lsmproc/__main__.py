"""``python -m lsmproc`` is the command ``lsmproc``."""

from __future__ import annotations

import sys

from lsmproc.cli import main

if __name__ == "__main__":
    sys.exit(main())
