"""A released package as it was published, for tests that run its own tests; kept between runs, outside of the tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_DOWNLOAD_SECONDS = 45


def published_package(requirement: str, file_name: str, sha256: str) -> Path | None:
    """The file of exactly these bytes, from the last run or the package index; None if it cannot be had."""
    folder = Path(tempfile.gettempdir()) / f"lsmproc-published-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / file_name
    if folder.stat().st_uid != os.getuid() or not (_is(file, sha256) or _download(requirement, folder, sha256)):
        return None
    return file if _is(file, sha256) else None


def _is(file: Path, sha256: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256


def _download(requirement: str, folder: Path, sha256: str) -> bool:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{requirement} --hash=sha256:{sha256}\n")
        pinned.flush()
        command = ["-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--retries", "0", "--timeout", "10"]
        source = ["--no-binary", ":all:"] if requirement.startswith("plyvel") else []
        try:
            done = subprocess.run(
                [sys.executable, *command, *source, "-r", pinned.name, "-d", str(folder)],
                capture_output=True,
                timeout=_DOWNLOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
