"""The rows of one table file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import xxhash

from lsmproc.cli.dump.file_rows import Row
from lsmproc.errors import CorruptionError
from lsmproc.formats.block import STORED_OVERHEAD, unseal_block
from lsmproc.formats.compression import Codec
from lsmproc.formats.table_format import FORMAT_VERSION, MAX_SECTION_BYTES, PLAIN_TABLE_MAGIC
from lsmproc.repair.table_scan import Finding, ScannedBlock, TableScan
from lsmproc.storage.file_system import PosixFileSystem

_READ_BYTES = 1 << 20


def table_rows(directory: str, name: str, *, records: bool) -> Iterator[Row]:
    """Footer, properties, index and filter, blocks or records, summary."""
    fs = PosixFileSystem(directory)
    try:
        with closing(TableScan(fs, name)) as scan:
            yield _footer_row(scan)
            if scan.properties is not None:
                yield _properties_row(scan)
            if scan.top is not None:
                yield _index_row(scan)
            filter_rows = list(_filter_row(scan))
            bad_filter = any(row.get("damaged") for row in filter_rows)
            yield from filter_rows
            yield from _block_rows(scan, records=records, bad_filter=bad_filter)
    finally:
        fs.shut()


def _footer_row(scan: TableScan) -> Row:
    footer = scan.footer
    identity = "unknown" if scan.unique_id is None else f"{scan.unique_id:016x}"
    if footer is None:
        return {"row": "footer", "file": scan.name, "crc": "bad", "unique_id": identity}
    return {
        "row": "footer",
        "file": scan.name,
        "crc": "ok",
        "format": "plain" if footer.magic == PLAIN_TABLE_MAGIC else "block",
        "version": FORMAT_VERSION,
        "unique_id": identity,
        "filter_offset": footer.filter.offset,
        "filter_bytes": footer.filter.size,
        "index_offset": footer.index.offset,
        "index_bytes": footer.index.size,
        "properties_offset": footer.properties.offset,
        "properties_bytes": footer.properties.size,
    }


def _properties_row(scan: TableScan) -> Row:
    said = scan.properties
    assert said is not None
    return {
        "row": "properties",
        "records": said.entries,
        "tombstones": said.tombstones,
        "smallest": said.smallest,
        "largest": said.largest,
        "smallest_sequence": said.smallest_sequence,
        "largest_sequence": said.largest_sequence,
        "raw_bytes": said.raw_bytes,
        "blocks": said.block_count,
        "codec": _codec(said.codec),
        "filter_bits_per_key": said.filter_bits_per_key,
    }


def _index_row(scan: TableScan) -> Row:
    top = scan.top
    assert top is not None
    entries = [
        {"last_key": key, "bytes": size, "blocks": blocks, "data_bytes": data}
        for key, size, blocks, data in zip(
            top.last_keys, top.partition_bytes, top.block_counts, top.data_bytes, strict=True
        )
    ]
    return {"row": "index", "partitions": entries}


def _filter_row(scan: TableScan) -> Iterator[Row]:
    footer = scan.footer
    if footer is None or scan.unique_id is None:
        return
    if not footer.filter.size:
        yield {"row": "filter", "bytes": 0, "problem": "the table has none"}
        return
    handle = footer.filter
    try:
        raw = unseal_block(scan.read(handle.offset, handle.size), scan.unique_id ^ handle.offset, MAX_SECTION_BYTES)
    except CorruptionError as error:
        yield {"row": "filter", "bytes": handle.size, "crc": "bad", "problem": str(error), "damaged": True}
        return
    entries = scan.properties.entries if scan.properties is not None else 0
    yield {
        "row": "filter",
        "bytes": handle.size,
        "crc": "ok",
        "bits_per_key": round(8 * len(raw) / entries, 1) if entries else None,
        "bits_set_percent": round(100 * int.from_bytes(raw, "little").bit_count() / (8 * len(raw)), 1),
    }


def _block_rows(scan: TableScan, *, records: bool, bad_filter: bool) -> Iterator[Row]:
    sound = bad = entries = tombstones = 0
    first_bad: tuple[int, str] | None = None
    if bad_filter and scan.footer is not None:
        scan.findings.append(Finding(scan.footer.filter.offset, "the filter does not check"))
    for index, block in enumerate(scan.blocks()):
        columns = block.columns
        if columns is None:
            bad += 1
            first_bad = first_bad or (block.offset, block.problem)
        else:
            sound += 1
            entries += len(columns.keys)
            tombstones += columns.values.count(None)
        if records and columns is not None:
            for key, value, sequence in zip(columns.keys, columns.values, columns.sequences, strict=True):
                row = {"row": "record", "sequence": sequence, "kind": "delete" if value is None else "put", "key": key}
                yield row if value is None else {**row, "value": value}
        elif not records:
            yield _block_row(index, block)
    # The index is read along with the blocks, so findings are complete only now.
    for finding in scan.findings:
        yield {"row": "damage", "offset": finding.offset, "problem": finding.message, "damaged": True}
        if first_bad is None or finding.offset < first_bad[0]:
            first_bad = (finding.offset, finding.message)
    yield {
        "row": "summary",
        "file": scan.name,
        "bytes": scan.size,
        "sound_blocks": sound,
        "bad_blocks": bad,
        "records": entries,
        "tombstones": tombstones,
        "records_missing": scan.properties.entries - entries if scan.properties is not None else None,
        "checksum": f"{_checksum(scan):016x}",
        "unread_bytes": scan.unread_bytes or None,
        "first_bad_byte": None if first_bad is None else first_bad[0],
        "problem": None if first_bad is None else first_bad[1],
        "damaged": first_bad is not None,
    }


def _block_row(index: int, block: ScannedBlock) -> Row:
    columns = block.columns
    return {
        "row": "block",
        "index": index,
        "offset": block.offset,
        "bytes": block.size,
        "compressed": max(0, block.size - STORED_OVERHEAD),
        "raw_bytes": block.raw_bytes,
        "codec": _codec(block.codec),
        "records": None if columns is None else len(columns.keys),
        "crc": "ok" if columns is not None else f"bad: {block.problem}",
        "first_key": None if columns is None else columns.keys[0],
        "last_key": block.fence if columns is None else columns.keys[-1],
    }


def _codec(number: int) -> str:
    return Codec(number).name.lower() if number in list(Codec) else str(number)


def _checksum(scan: TableScan) -> int:
    """Of the whole file: what the manifest has for it."""
    whole = xxhash.xxh3_64()
    for offset in range(0, scan.size, _READ_BYTES):
        whole.update(scan.read(offset, _READ_BYTES))
    return whole.intdigest()
