"""plyvel's interface over lsmproc: ``import lsmproc.compat.plyvel as plyvel``, and no other line changes.

Names, arguments, defaults, errors, iterator positions and ownership are those of plyvel 1.5.1: batches are written when
their block raises unless they are transactions, ``for`` over a database yields pairs, closed handles raise
RuntimeError, an iterator keeps its database alive. What differs:

* the files are lsmproc's: a LevelDB directory is refused, and moved over by copying its records;
* the byte order is the only order of keys: ``DB(comparator=...)`` raises ``Error``;
* a key has at most 131,071 bytes, a value 64 MiB, a batch 256 MiB; more raises ``Error``;
* an iterator never leaves its range and misses no record of it, where plyvel does both in corners (a step back right
  after a seek below ``start``; a step back onto a lone record that equals ``start``);
* ``in`` raises TypeError, where plyvel 1.5.1 reads the whole database and answers False;
* checksums are always verified, ``compression="snappy"`` compresses with lz4, ``block_restart_interval`` means
  nothing here, and numeric options out of lsmproc's limits are brought into them, as LevelDB does with its own;
* ``repair_db`` keeps the damaged directory beside the repaired one if anything is lost.
"""

from __future__ import annotations

from lsmproc.compat.plyvel.database import DB
from lsmproc.compat.plyvel.errors import CorruptionError, Error, IOError, IteratorInvalidError  # noqa: A004 - its name
from lsmproc.compat.plyvel.whole_database import destroy_db, repair_db

__all__ = ["DB", "CorruptionError", "Error", "IOError", "IteratorInvalidError", "destroy_db", "repair_db"]

__version__ = "1.5.1"  # of plyvel: what this module behaves like
__leveldb_version__ = "1.23"  # what plyvel 1.5.1 is released with
