"""Background work: processes, threads or the caller itself, behind one protocol.

Imported only as ``lsmproc.workers`` (``lsmproc/workers`` is a link to this folder): a top-level package named
``workers`` would clash with the host application's own.
"""
