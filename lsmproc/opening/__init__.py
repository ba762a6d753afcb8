"""From a directory and settings to the parts of an open store, and back when it is closed.

:mod:`recovery` makes a state out of what a crash left; :mod:`configured_parts` says what settings mean for the parts;
:mod:`store_parts` puts them together and takes them apart; :mod:`option_history` remembers what a store was opened
with, and :mod:`live_options` changes that while it is open. ``lsmproc.open`` itself is :mod:`lsmproc.open_store`.
"""
