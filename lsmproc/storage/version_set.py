"""The current version, the versions that readers still hold, and the one function that changes the tree.

File numbers come from here, each given out once, ever. A table that an edit removed stays on disk until the last
version that names it is gone: readers hold versions, so no reader meets a missing file.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from lsmproc.formats.version_edit import VersionEdit

if TYPE_CHECKING:
    from lsmproc.protocols import Manifest
    from lsmproc.storage.version import Version


class FileNumbers:
    """Gives out file numbers, each once. Thread-safe."""

    def __init__(self, first: int) -> None:
        """Start at ``first``."""
        self._next = first
        self._lock = threading.Lock()

    def take(self) -> int:
        """A number that no file has had."""
        with self._lock:
            number = self._next
            self._next += 1
            return number

    @property
    def next(self) -> int:
        """The number that would be given out next: no file has it or a higher one."""
        return self._next


class VersionSet:
    """The one place where the shape of the tree changes."""

    def __init__(self, manifest: Manifest, version: Version, numbers: FileNumbers) -> None:
        """Start at ``version``, which ``manifest`` holds already."""
        self.current: Version = version
        self.numbers = numbers
        self._manifest = manifest
        self._lock = threading.Lock()
        self._held: weakref.WeakSet[Version] = weakref.WeakSet([version])
        self._retired: dict[int, int] = {}  # file number to bytes: removed by an edit, still on disk

    def log_and_apply(self, edit: VersionEdit) -> Version:
        """Make ``edit`` durable, then current; returns the new version.

        REQUIRES: every table the edit adds is synced under its final name, and so is the directory.
        Raises CorruptionError if the edit does not fit (inputs no longer live), StorageError if it cannot be made
        durable; in both cases nothing changed.
        """
        with self._lock:
            edit = replace(edit, next_file_number=max(self.numbers.next, self.current.next_file_number))
            after = self.current.apply(edit)
            sizes = {file.number: file.size for _, file in self.current.files()}
            moved = {file.number for _, file in edit.added}
            retired = {number: sizes[number] for _, number in edit.removed if number not in moved}
            retired.update(self._retired)
            self._held.add(after)
            try:
                self._manifest.append(edit, after)
                self.current = after
                self._retired = retired
            except BaseException:
                # The edit may be in the manifest, and what follows may not know: then it must not follow it there.
                self._manifest.doubt()
                raise
            return after

    def take_obsolete(self) -> list[int]:
        """Tables that were removed and that no held version names any more. Each is reported once."""
        with self._lock:
            named = {file.number for version in list(self._held) for _, file in version.files()}
            obsolete = sorted(self._retired.keys() - named)
            for number in obsolete:
                del self._retired[number]
            return obsolete

    @property
    def retired_bytes(self) -> int:
        """Bytes of removed tables that are still on disk, because older versions name them."""
        with self._lock:
            return sum(self._retired.values())

    def close(self) -> None:
        """Close the manifest. Idempotent."""
        self._manifest.close()
