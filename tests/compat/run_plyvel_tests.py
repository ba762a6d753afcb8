"""A program: runs plyvel's own tests with our module under plyvel's name. Arguments: the test file, a report file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import lsmproc.compat.plyvel
import lsmproc.compat.plyvel._plyvel


class Outcomes:
    """Collects how each test ended."""

    def __init__(self) -> None:
        """None yet."""
        self.by_name: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the worst of set-up, call and tear-down."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.by_name[name] = str(report.longrepr.reprcrash.message) if report.longrepr else "failed"
        else:
            self.by_name.setdefault(name, report.outcome)


if __name__ == "__main__":
    sys.modules["plyvel"] = lsmproc.compat.plyvel
    sys.modules["plyvel._plyvel"] = lsmproc.compat.plyvel._plyvel
    # No plugins that are installed: this package's own is imported already, of which pytest would warn.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    outcomes = Outcomes()
    test_file, report_file = map(Path, sys.argv[1:])
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib", "-c", "/dev/null"]
    pytest.main([*options, "--rootdir", str(test_file.parent), str(test_file)], plugins=[outcomes])
    report_file.write_text(json.dumps(outcomes.by_name))
