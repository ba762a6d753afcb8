"""How a store is watched: figures, explanations and history, from within its process or from another.

From within, :mod:`stats_report` gathers the figures of all parts, and :mod:`properties` and :mod:`stall_explanation`
word them. From outside, :mod:`store_status` and :mod:`flush_history` read what the owner left on disk. What the figures
are is told in :mod:`lsmproc.statistics`; nothing here changes a store.
"""
