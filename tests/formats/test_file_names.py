"""Names of files are made and parsed in one place, and nothing but these names is ever parsed."""

from __future__ import annotations

import pytest

from lsmproc.formats.file_names import (
    FileKind,
    job_output_name,
    manifest_name,
    parse_file_name,
    table_name,
    wal_name,
)


@pytest.mark.parametrize("number", [1, 12, 999_999, 1_000_000, (1 << 63) - 1])
def test_a_name_is_parsed_back_to_its_kind_and_number(number: int) -> None:
    """All three kinds, short numbers and long ones."""
    assert (FileKind.WAL, number) == parse_file_name(wal_name(number))
    assert (FileKind.TABLE, number) == parse_file_name(table_name(number))
    assert (FileKind.MANIFEST, number) == parse_file_name(manifest_name(number))


def test_names_have_the_form_that_earlier_releases_wrote() -> None:
    """Golden names."""
    assert ["000012.wal", "000013.sst", "MANIFEST-000007", "tmp/3-17-1-0.sst"] == [
        wal_name(12), table_name(13), manifest_name(7), job_output_name(3, 17, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "", "CURRENT", "LOCK", "12.wal", "0000012.wal", "000012.WAL", "000012.wal ", "000012.wal\n", "../000012.wal",
        "tmp/000012.sst", "000012.sst.tmp", "-00012.sst", "+00012.sst", "٠٠٠٠١٢.sst", "MANIFEST-7", "MANIFEST-0000007",
        "manifest-000007", "MANIFEST-000007.sst", "000012", "000012.", "0x0012.wal", "1" * 21 + ".wal", "0_0012.wal",
    ],
)  # fmt: skip
def test_any_other_name_is_no_file_of_a_store(name: str) -> None:
    """Also names that a lax parser would take for one of ours."""
    assert parse_file_name(name) is None
