"""What a reader sees: one consistent state of the store, and the past that snapshots keep alive.

:mod:`read_view` finds a record, or the records of a range, in the memtables and tables of one moment; how windows of
sorted records are merged is told in :mod:`lsmproc.iterators`. Readers take no lock and change nothing.
"""
