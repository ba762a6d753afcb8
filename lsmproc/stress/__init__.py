"""The crash rig: a store is killed at random moments while it works, and must have kept every promise afterwards.

::

    parent (never opens the store)                        child: the owner process
    oracle: regenerates each operation from the seed      opens, says what it found, then applies operations
       ▲  acks: one message for each operation done  ◄──     thread by thread, one ack after each
       └─ compares what the reopened store holds            workers flush and compact underneath
    killer: SIGKILL or SIGSTOP for the owner or a worker, at a moment drawn from the seed

A kill loses nothing that reached the kernel, so these rules are the same under every sync policy: each acknowledged
write is there, an unacknowledged one is there whole or not at all, and nothing else is. What only a power cut can
show (a sync that was left out) is out of reach of a kill.

Runs are started with ``lsmproc.stress.rig``. Nothing is imported here: owners and workers, of which a run starts
thousands, import modules of this package and need little of it.
"""
