"""The key ranges of a compaction: into which parts to split it, and what lies below it.

A large compaction is carried out by several processes, each merging one key range of the same inputs. Where to cut
is estimated from the manifest alone, without reading a table: the bytes of each input are taken as spread evenly
between its smallest and its largest key. That is exact enough where it matters, since the tables of deep levels are
narrow; a wrong estimate only makes one part larger than another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from lsmproc.compaction.compaction import Compaction
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.version import Version, key_range, overlapping

_POSITION_BYTES = 8  # of a key, after the prefix that all keys share: enough to tell keys of a table apart


def split(compaction: Compaction, parts: int, least_bytes: int) -> list[tuple[bytes | None, bytes | None]]:
    """At most ``parts`` adjacent key ranges [start, stop) that cover all keys; the outer bounds are None.

    No part is meant to have less than ``least_bytes`` of inputs: a process would cost more than it saves. One range for
    an output in level 0, where every table is one more run.
    """
    parts = min(parts, compaction.input_bytes // max(least_bytes, 1))
    if parts < 2 or compaction.output_level == 0:
        return [(None, None)]
    files = [file for _, file in compaction.files]
    smallest, largest = key_range(files)
    cuts = sorted({cut for cut in _cuts(files, parts) if smallest < cut <= largest})
    return list(pairwise([None, *cuts, None]))


def ranges_below(version: Version, compaction: Compaction) -> tuple[tuple[bytes, bytes], ...]:
    """(smallest, largest) of the tables that may hold older records of the compaction's keys and are no inputs.

    A tombstone over one of them must be kept: ``CompactionRequest.deeper``. What is found when the compaction is
    picked stays enough while it runs, as older records only ever move further down within this set.
    """
    smallest, largest = key_range([file for _, file in compaction.files])
    inputs = {file.number for _, file in compaction.files}
    older = [file for level in version.levels[compaction.output_level + 1 :] for file in level]
    if compaction.output_level == 0:
        oldest = min(file.largest_sequence for _, file in compaction.files)
        older += [file for file in version.levels[0] if file.largest_sequence < oldest]
    return tuple(
        (file.smallest, file.largest)
        for file in older
        if file.number not in inputs and file.smallest <= largest and smallest <= file.largest
    )


def grandparents(version: Version, compaction: Compaction) -> tuple[tuple[bytes, bytes, int], ...]:
    """(smallest, largest, bytes) of the tables one level below the output that it overlaps, ascending.

    For ``CompactionRequest.grandparents``: outputs are cut so that none overlaps too many of them.
    """
    if not 0 < compaction.output_level < len(version.levels) - 1:
        return ()
    smallest, largest = key_range([file for _, file in compaction.files])
    level = version.levels[compaction.output_level + 1]
    return tuple((file.smallest, file.largest, file.size) for file in overlapping(level, smallest, largest))


def _cuts(files: Sequence[FileMetadata], parts: int) -> list[bytes]:
    """Keys that cut ``files`` into parts of about equal bytes; ascending, but may repeat or lie at an end."""
    prefix = _common_prefix(*key_range(files))
    spans = [(_position(file.smallest, prefix), _position(file.largest, prefix) + 1, file.size) for file in files]
    ends = sorted({position for first, last, _ in spans for position in (first, last)})
    sizes = [
        sum(size * (right - left) // (last - first) for first, last, size in spans if first <= left < last)
        for left, right in pairwise(ends)
    ]
    before = list(accumulate(sizes, initial=0))
    cuts = []
    for part in range(1, parts):
        wanted = before[-1] * part // parts
        index = min(bisect_right(before, wanted) - 1, len(sizes) - 1)
        left, right = ends[index], ends[index + 1]
        cut = left + (right - left) * (wanted - before[index]) // max(sizes[index], 1)
        cuts.append(prefix + min(cut, _LARGEST_POSITION).to_bytes(_POSITION_BYTES, "big").rstrip(b"\0"))
    return cuts


def _common_prefix(smallest: bytes, largest: bytes) -> bytes:
    """What all keys from ``smallest`` to ``largest`` begin with."""
    same = (index for index, (left, right) in enumerate(zip(smallest, largest, strict=False)) if left != right)
    return smallest[: next(same, min(len(smallest), len(largest)))]


def _position(key: bytes, prefix: bytes) -> int:
    """A key as a number that orders like the keys, as far as its first bytes tell."""
    rest = key[len(prefix) : len(prefix) + _POSITION_BYTES]
    return int.from_bytes(rest.ljust(_POSITION_BYTES, b"\0"), "big")


_LARGEST_POSITION = (1 << 8 * _POSITION_BYTES) - 1
