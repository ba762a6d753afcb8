"""Hostile tables of both formats: bytes changed anywhere, and sections with any content whose checksums are right."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

import msgpack
import xxhash

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import HEADER, TRAILER, BlockEncoder, checksum_of, seal_block
from lsmproc.formats.bloom_filter import build_bloom_filter
from lsmproc.formats.compression import Codec, compress
from lsmproc.formats.table_format import (
    BLOCK_TABLE_MAGIC,
    FOOTER,
    PLAIN_TABLE_MAGIC,
    PROPERTIES_LAYOUT,
    BlockHandle,
    Footer,
    Properties,
    encode_footer,
    encode_partition,
)
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.protocols import TableReader
from lsmproc.storage.block_cache import BlockCache
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.table_output import TableTotals
from lsmproc.storage.tables import open_table
from tests.hostile.memory_files import memory_files
from tests.hostile.mutation import NUMBERS, changed_bytes, changed_tree, nested, packed

Case = Callable[[Random], bool]

UNIQUE_ID = 77
KEYS = [b"key%03d" % n for n in range(60)]
VALUES: list[bytes | None] = [None if n % 9 == 0 else b"v" * (n * 7 % 40) for n in range(60)]
SEQUENCES = [1000 + n for n in range(60)]
MISSING_KEYS = [b"", b"key0005", b"key030\0", b"zzz"]


@dataclass
class Plan:
    """What a table is put together from; a case changes one of them before the checksums are made."""

    codec: Codec
    plain: bool = False
    raws: list[bytes] = field(default_factory=list)
    last_keys: list[bytes] = field(default_factory=list)
    partition: Callable[[list[bytes], list[int]], bytes] = encode_partition
    top: Callable[[list[Any]], bytes] = msgpack.packb
    words: bytes = build_bloom_filter(map(xxhash.xxh3_64_intdigest, KEYS), len(KEYS), 12)
    properties: Callable[[list[Any]], bytes] = msgpack.packb
    seal: Callable[[bytes, Codec, int], bytes] = seal_block
    footer: Callable[[Footer, int], bytes] = encode_footer
    describe: Callable[[FileMetadata], FileMetadata] = lambda file: file
    per_partition: int = 100


def build(plan: Plan) -> tuple[bytes, FileMetadata]:
    """The file and what the manifest says of it."""
    data = bytearray()

    def add(raw: bytes, codec: Codec) -> BlockHandle:
        stored = plan.seal(raw, codec, UNIQUE_ID ^ len(data))
        data.extend(stored)
        return BlockHandle(len(data) - len(stored), len(stored))

    totals = TableTotals()
    totals.add(KEYS, VALUES, SEQUENCES)
    sizes = [add(raw, plan.codec).size for raw in plan.raws]
    magic = PLAIN_TABLE_MAGIC if plan.plain else BLOCK_TABLE_MAGIC
    filters = index = BlockHandle(len(data), 0)
    if not plan.plain:
        columns: list[list[Any]] = [[], [], [], []]
        for first in range(0, len(sizes), plan.per_partition):
            part = slice(first, first + plan.per_partition)
            handle = add(plan.partition(plan.last_keys[part], sizes[part]), plan.codec)
            for column, item in zip(
                columns, (plan.last_keys[part][-1], handle.size, len(sizes[part]), sum(sizes[part])), strict=True
            ):
                column.append(item)
        filters = add(plan.words, Codec.NONE) if plan.words else BlockHandle(len(data), 0)
        index = add(plan.top(columns), plan.codec)
    described = Properties(*totals.fields(), UNIQUE_ID, len(sizes), int(plan.codec), 12)
    properties = add(plan.properties([PROPERTIES_LAYOUT, *astuple(described)]), plan.codec)
    footer = Footer(magic, UNIQUE_ID, filters, index, properties)
    data += plan.footer(footer, len(data) + FOOTER.size)
    metadata = FileMetadata(9, len(data), xxhash.xxh3_64_intdigest(data), UNIQUE_ID, *totals.fields())
    return bytes(data), plan.describe(metadata)


def sound_plan(rng: Random) -> Plan:
    """A table without a flaw."""
    plan = Plan(rng.choice(list(Codec)), plain=rng.random() < 0.25)
    step = len(KEYS) if plan.plain else rng.choice((3, 7, 20))
    plan.per_partition = rng.choice((2, 100))
    if plan.plain:
        plan.codec = Codec.NONE
    for first in range(0, len(KEYS), step):
        part = slice(first, first + step)
        plan.raws.append(BlockEncoder().encode(KEYS[part], VALUES[part], SEQUENCES[part]))
        plan.last_keys.append(KEYS[part][-1])
    return plan


def sound_tables(rng: Random) -> bool:
    """The surgeon's own check: an unchanged table reads as it should."""
    data, metadata = build(sound_plan(rng))
    read_everything(data, metadata, rng)
    reader = _open(data, metadata, None)
    reader.verify()
    assert (KEYS, VALUES, SEQUENCES) == reader.columns_with_sequences(0, reader.block_count)
    reader.close()
    return True


def damaged_tables(rng: Random) -> bool:
    """Bytes changed anywhere; the size in the manifest is right now and then."""
    data, metadata = build(sound_plan(rng))
    data = changed_bytes(rng, data)
    if rng.random() < 0.8:
        metadata = replace(metadata, size=len(data))
    return read_everything(data, metadata, rng)


def crafted_tables(rng: Random) -> bool:
    """One section whose content is anything, under checksums that are right."""
    plan = sound_plan(rng)
    change_something(rng, plan)
    data, metadata = build(plan)
    return read_everything(data, metadata, rng)


def change_something(rng: Random, plan: Plan) -> None:
    """Plan one section of a table differently."""
    rng.choice(_SURGERIES)(rng, plan)


def read_everything(data: bytes, metadata: FileMetadata, rng: Random) -> bool:
    """Use every method of a reader; True if all of them answered. Values have the right types whatever the table is."""
    answered = True
    for operation in rng.sample(_OPERATIONS, len(_OPERATIONS)):
        reader = None
        try:
            reader = _open(data, metadata, rng.choice((None, BlockCache(1 << 20))))
            for _ in range(3):  # from the file, from the cache, from the unfolded block
                operation(reader)
        except CorruptionError:
            answered = False
        finally:
            if reader is not None:
                reader.close()
    return answered


def _open(data: bytes, metadata: FileMetadata, cache: BlockCache | None) -> TableReader:
    fs = memory_files(**{"000009.sst": data})
    return open_table(fs, metadata, "000009.sst", cache=cache, open_files=OpenFiles(2))


def _get(reader: TableReader) -> None:
    for key in [*KEYS[::7], *MISSING_KEYS]:
        value = reader.get(key, xxhash.xxh3_64_intdigest(key))
        assert value is None or type(value) is bytes or repr(value) == "MISSING", value


def _lookup(reader: TableReader) -> None:
    for key in [*KEYS[::9], *MISSING_KEYS]:
        found = reader.lookup(key, xxhash.xxh3_64_intdigest(key))
        assert repr(found) == "MISSING" or (type(found[0]) is int and type(found[1]) in (bytes, type(None)))  # type: ignore[index]


def _columns(reader: TableReader) -> None:
    count = min(reader.block_count, 100)
    for first in (0, reader.find_block(KEYS[20]), reader.find_block(b"zzz")):
        keys, values = reader.columns(first, count)
        assert {bytes} >= set(map(type, keys))
        assert {bytes, type(None)} >= set(map(type, values))
        reader.columns_with_sequences(first, count)


_OPERATIONS: list[Callable[[TableReader], None]] = [_get, _lookup, _columns, lambda reader: reader.verify()]


def _change_block(rng: Random, plan: Plan) -> None:
    place = rng.randrange(len(plan.raws))
    plan.raws[place] = crafted_block(rng, plan.raws[place])


def crafted_block(rng: Random, raw: bytes) -> bytes:
    """A raw block that lies in its header, in a column or in its bounds."""
    count, keys_bytes, values_bytes, key_bytes, value_bytes = header = list(HEADER.unpack_from(raw))
    match rng.randrange(5):
        case 0:
            header[rng.randrange(5)] = rng.choice(NUMBERS) % (1 << 32)
            return HEADER.pack(*header) + raw[HEADER.size :]
        case 1:
            return changed_bytes(rng, raw)
        case 2:
            return HEADER.pack(*header) + changed_bytes(rng, raw[HEADER.size :])
    start = HEADER.size + count  # behind the tags
    middle = start + keys_bytes
    end = middle + values_bytes
    keys, values = raw[start:middle], raw[middle:end]
    key_bounds, value_bounds = _bounds(raw[end : len(raw) - 8 * count], header)
    if rng.random() < 0.5:
        keys = nested(rng) if rng.random() < 0.3 else packed(rng, changed_tree(rng, msgpack.unpackb(keys)))
        key_bytes = 0
    else:
        values = nested(rng) if rng.random() < 0.3 else packed(rng, changed_tree(rng, msgpack.unpackb(values)))
        value_bytes = rng.choice((0, 0, value_bytes))
    parts = [HEADER.pack(count, len(keys), len(values), key_bytes, value_bytes), raw[HEADER.size : start], keys, values]
    for item_bytes, column, bounds in ((key_bytes, keys, key_bounds), (value_bytes, values, value_bounds)):
        size = (4 if len(column) > 65535 else 2) * (count + 1)
        parts.append(b"" if item_bytes else (bounds + bytes(size))[:size])
    return b"".join(parts) + raw[len(raw) - 8 * count :]


def _bounds(both: bytes, header: list[int]) -> tuple[bytes, bytes]:
    """The bounds of the keys and of the values, each empty if the header says so."""
    count, keys_bytes, _, key_bytes, _ = header
    size = 0 if key_bytes else (4 if keys_bytes > 65535 else 2) * (count + 1)
    return both[:size], both[size:]


def _change_partition(rng: Random, plan: Plan) -> None:
    def partition(keys: list[bytes], sizes: list[int]) -> bytes:
        match rng.randrange(6):
            case 0:
                return packed(rng, changed_tree(rng, [keys, b"\0" * 4 * len(sizes)], 0.3))
            case 1:
                return encode_partition(rng.sample(keys, len(keys)), sizes)
            case 2:
                return encode_partition(keys, [rng.choice(NUMBERS) % (1 << 32) for _ in sizes])
            case 3 if len(sizes) > 1:
                # Sizes that still add up.
                moved = rng.choice((1, sizes[0], 13))
                return encode_partition(keys, [max(0, sizes[0] - moved), sizes[1] + min(sizes[0], moved), *sizes[2:]])
            case 4:
                return nested(rng)
        return changed_bytes(rng, encode_partition(keys, sizes))

    plan.partition = partition


def _change_top(rng: Random, plan: Plan) -> None:
    def top(columns: list[Any]) -> bytes:
        match rng.randrange(4):
            case 0:
                columns[rng.randrange(1, 4)][-1] = rng.choice(NUMBERS)
            case 1:
                return nested(rng)
            case 2 if len(columns[0]) > 1:
                column = columns[rng.randrange(1, 4)]
                column[0], column[1] = column[0] + 1, column[1] - 1
        return packed(rng, changed_tree(rng, columns, 0.1))

    plan.top = top


def _change_filter(rng: Random, plan: Plan) -> None:
    plan.words = rng.choice((b"", b"\xff" * 7, b"\xff" * 8, plan.words[:-1], changed_bytes(rng, plan.words)))


def _change_properties(rng: Random, plan: Plan) -> None:
    plan.properties = lambda fields: nested(rng) if rng.random() < 0.2 else packed(rng, changed_tree(rng, fields, 0.2))


def _change_trailer(rng: Random, plan: Plan) -> None:
    """Another codec or raw length, or a payload that does not decompress, under a right checksum."""

    def seal(raw: bytes, codec: Codec, seed: int) -> bytes:
        number, payload = compress(raw, codec)
        length = len(raw)
        if rng.random() < 0.3:
            match rng.randrange(3):
                case 0:
                    number = rng.choice((0, 1, 2, 3, 255))
                case 1:
                    length = rng.choice((0, length - 1, length + 1, *NUMBERS)) % (1 << 32)
                case 2:
                    payload = changed_bytes(rng, payload)
        return payload + TRAILER.pack(number, length, checksum_of(payload, number, length, seed))

    plan.seal = seal


def _change_footer(rng: Random, plan: Plan) -> None:
    """Handles that point outside, at each other and at themselves."""

    def footer(sound: Footer, size: int) -> bytes:
        fields = list(FOOTER.unpack(encode_footer(sound, size)))
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(3, 10)
            fields[place] = rng.choice((*NUMBERS, size, size - 80, fields[rng.randrange(3, 10)])) % (1 << 64)
        if rng.random() < 0.3:
            # Handles that touch each other, and fill the file in another way.
            cuts = sorted(rng.randrange(size - 79) for _ in range(3))
            handles = [(start, end - start) for start, end in zip(cuts, [*cuts[1:], size - 80], strict=True)]
            fields[4:10] = [n for handle in handles for n in handle]
        checked = FOOTER.pack(*fields)[:-8]
        return checked + struct.pack("<Q", xxhash.xxh3_64_intdigest(checked, size))

    plan.footer = footer


def _change_description(rng: Random, plan: Plan) -> None:
    """The manifest describes another table; the properties agree with it half of the time."""
    totals = TableTotals()
    totals.add(KEYS, VALUES, SEQUENCES)
    lies = {3: 1 << 40, 4: 0, 7: rng.choice((0, 1, 1 << 40))} if rng.random() < 0.5 else {3: 0, 7: 0}

    def properties(fields: list[Any]) -> bytes:
        return bytes(msgpack.packb([lies.get(place, item) for place, item in enumerate(fields)]))

    plan.properties = properties
    names = {3: "entries", 4: "tombstones", 7: "raw_bytes"}
    plan.describe = partial(replace, **{names[place]: lie for place, lie in lies.items()})


_SURGERIES: list[Callable[[Random, Plan], None]] = [
    _change_block,
    _change_block,
    _change_partition,
    _change_top,
    _change_filter,
    _change_properties,
    _change_trailer,
    _change_footer,
    _change_description,
]

TARGETS: dict[str, Callable[[], Case]] = {
    "sound tables": lambda: sound_tables,
    "damaged tables": lambda: damaged_tables,
    "crafted tables": lambda: crafted_tables,
}
