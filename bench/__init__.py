"""Measures the store and its peers side by side. ``lsmproc bench --help`` says what can be asked for.

The parts, from the inside out: ``systems`` (one store each, behind one protocol), ``workloads`` (what is done to it),
``measurement`` (the clocks), ``session`` (one system in one process), ``rounds`` (sessions in turn, and what is read of
their processes from outside), ``summary`` and then what shows it: ``table``, ``targets``, ``comparison``, ``page``.
``beyond`` holds what is no single figure, and ``micro_*`` time the inner steps.
"""
