"""For the test suites of programs that use lsmproc: a pytest plugin, loaded by pytest wherever lsmproc is installed.

Fixtures, all of them closing and checking after the test:

* ``lsm_store``: an empty store in a temporary directory, with its background inline: fast, and the same every time;
* ``lsm_open``: ``lsm_open("name", **options)`` opens a store there, also the same one again;
* ``lsm_crash``: runs a function of the test module in a child process, kills that at a moment that the function names,
  and hands back what it had acknowledged, so that the test can open the store again and compare::

      def fill(point, path):
          with lsmproc.open(path) as db:
              for n in range(100):
                  db.put(b"%d" % n, b"x")
                  point.acknowledge(n)
                  point.reach("written")

      def test_no_acknowledged_write_is_lost(lsm_crash, lsm_open):
          crash = lsm_crash(fill, lsm_open.path("store"), kill_at="written", hits=37)
          with lsm_open("store") as db:
              assert all(db.get(b"%d" % n) == b"x" for n in crash.acknowledged)

* ``lsm_no_leaks``: fails the test that leaves a child process, a thread of lsmproc or a descriptor of a store behind.
  The others use it; ``lsmproc_leaks = "all"`` in pytest's settings puts it around every test, ``"off"`` around none.

Turn the plugin off with ``-p no:lsmproc``. This module itself imports neither pytest nor the engine.
"""

from __future__ import annotations

from lsmproc.testing.crash_child import CrashPoint

__all__ = ["CrashPoint"]
