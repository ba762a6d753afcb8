"""``python -m lsmproc.bench``, or in a checkout ``python -m bench``: the same as ``lsmproc bench``."""

import sys

from lsmproc.bench.command_line import main

if __name__ == "__main__":
    sys.exit(main())
