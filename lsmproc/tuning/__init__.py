"""The advisor: what the figures and the events of a store say about its settings.

Four steps, each in its module: a :class:`History` is what is known of a store (history.py; read from its files by
reading.py), rules look at it (rules.py gathers the tables of stall_rules.py, write_rules.py, read_rules.py and
health_rules.py), advice.py makes findings out of the rules that fire, and report.py words and writes them. All but the
reading are pure functions of a History, so that each rule can be tried on the record of a real run. The model is the
advisor of RocksDB (tools/advisor/rules.ini): conditions over log, options and time series, and a suggestion for each.
"""
