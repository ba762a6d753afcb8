"""Hostile text: names of files, the LOCK file, and settings."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from lsmproc import LSMConfig
from lsmproc.config.toml_file import parse_toml
from lsmproc.formats.file_names import (
    FileKind,
    job_of_output,
    manifest_name,
    parse_file_name,
    table_name,
    wal_name,
)
from lsmproc.storage.directory_lock import owner_of
from tests.hostile.memory_files import memory_files
from tests.hostile.mutation import changed_bytes

Case = Callable[[Random], bool]

NAMES = ("000012.wal", "MANIFEST-000007", "123456789.sst", "9223372036854775808.sst", "3-17-1-0.sst", "CURRENT")
LETTERS = "0123456789/.-\0\n\u0663\uff11\udcffMANIFESTwalsst"
NAME_OF = {FileKind.WAL: wal_name, FileKind.TABLE: table_name, FileKind.MANIFEST: manifest_name}
DEFAULTS = Path(__file__).parents[2] / "configs" / "default.toml"
VALUES = (
    '"4KiB"',
    "1" * 5000,
    "nan",
    "-inf",
    "1e400",
    "0x" + "f" * 70,
    "[" * 1500,
    "[" * 300 + "]" * 300,
    "'\\'",
    '"""',
)
VALUES += ("1979-05-27T07:32:00Z", "{a.b.c=1}", '"\\ud800"', "true", '"never"', "[1, 'a', [2]]", "a." * 500 + "a = 1")


def file_names(rng: Random) -> bool:
    """A name is taken for a numbered file only if the number makes the same name again, and fits in 63 bits."""
    letters = list(rng.choice(NAMES))
    for _ in range(rng.randint(0, 3)):
        letters.insert(rng.randrange(len(letters) + 1), rng.choice(LETTERS))
        if rng.random() < 0.5:
            letters.pop(rng.randrange(len(letters)))
    name = "".join(letters)
    job_of_output(name)
    parsed = parse_file_name(name)
    if parsed is None:
        return False
    kind, number = parsed
    assert name == NAME_OF[kind](number)
    assert number < 1 << 63
    assert not {"/", "\0", "."} & set(name.removesuffix(".wal").removesuffix(".sst"))
    return True


def lock_texts(rng: Random) -> bool:
    """Whatever stands in LOCK is a line of text or nothing."""
    text = json.dumps({"pid": 1, "host": "h", "command": "c", "since": "s"}).encode()
    broken = (b"[" * 4096, b'{"a":' * 800, b"\xff" * 100, b"1" * 4096, b"null", b"[]", b'"x"', b'{"pid":' + b"[" * 4000)
    data = rng.choice(broken) if rng.random() < 0.2 else changed_bytes(rng, text)
    owner = owner_of(memory_files(LOCK=data))
    assert type(owner) is str
    return bool(owner)


def settings(rng: Random) -> bool:
    """Bytes that are no TOML, and TOML that no setting takes."""
    lines = [line for line in DEFAULTS.read_bytes().splitlines() if line and not line.startswith(b"#")]
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key = lines[place].partition(b"=")[0]
        lines[place] = key + b"=" + rng.choice(VALUES).encode()
    data = b"\n".join(lines)
    if rng.random() < 0.5:
        data = changed_bytes(rng, data)
    parse_toml(data, "app.toml")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.toml")
        Path(path).write_bytes(data)
        LSMConfig.from_toml(path, data_dir=folder)
    return True


TARGETS: dict[str, Callable[[], Case]] = {
    "file names": lambda: file_names,
    "texts of LOCK": lambda: lock_texts,
    "settings": lambda: settings,
}
