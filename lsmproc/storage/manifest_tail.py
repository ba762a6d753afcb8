"""Following the manifest of a store that another process owns: the edits that are new, and each new manifest.

CURRENT names the live manifest, and a file number is used once, ever: so as long as CURRENT is the same file, only what
was appended to the manifest is read. When it is another one, the owner has rolled its manifest or is another owner, and
the new manifest, which begins with a whole version, is read from its start. It is the whole truth, whatever the old one
said last: an edit that its owner could not make durable is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.errors import DAMAGE_REMEDY, CorruptionError, NotAStoreError
from lsmproc.formats.log_format import KIND_MANIFEST
from lsmproc.storage.log_tail import LogTail
from lsmproc.storage.manifest import CURRENT_BYTES, applied, check_number, edits_of, manifest_named_by
from lsmproc.storage.version import Version

if TYPE_CHECKING:
    from lsmproc.storage.followed_directory import FollowedDirectory

_ATTEMPTS = 100  # at a manifest that is replaced while it is being opened


class ManifestTail:
    """The live manifest, read as far as it goes.

    Attributes:
        store_uuid: of the store.
        version: what the manifest said when it was read last; another object whenever it says something new.
        openings: how many manifests were read from their start.
    """

    def __init__(self, directory: FollowedDirectory) -> None:
        """Read the whole manifest. Raises NotAStoreError, CorruptionError, StorageError."""
        self._directory = directory
        self._tail: LogTail | None = None
        self.version: Version = Version()
        self.store_uuid: bytes = b""
        self.openings: int = 0
        self._reopen()

    @property
    def is_live(self) -> bool:
        """Whether it is still the one that CURRENT names. Raises NotAStoreError, StorageError."""
        return self._directory.current_is_read()

    def read(self) -> Version:
        """Read what is new; returns the version. Raises NotAStoreError, CorruptionError, StorageError."""
        if self._tail is None or not self.is_live:
            self._reopen()
        elif self._tail.has_more():
            # After any exception nobody knows what was read and applied: then it is read from its start.
            tail, self._tail = self._tail, None
            try:
                self.version = _read_on(tail, self.version)
            except BaseException:
                tail.close()
                raise
            self._tail = tail
        return self.version

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.close()

    def _reopen(self) -> None:
        """Read the manifest that CURRENT names from its start."""
        missing: CorruptionError | None = None
        for _ in range(_ATTEMPTS):
            if missing is not None and self.is_live:
                raise missing
            try:
                text = self._directory.read_current(CURRENT_BYTES)
            except FileNotFoundError as error:
                path = self._directory.path
                raise NotAStoreError(f"there is no store at {path}; a follower needs one that an owner made") from error
            name = manifest_named_by(text.decode("ascii", errors="replace"))
            try:
                tail = LogTail(self._directory, name, KIND_MANIFEST, self.store_uuid or None)
            except FileNotFoundError:
                # It was replaced between the two steps, and then CURRENT names another one already.
                text_of = f"the manifest that CURRENT names is missing; {DAMAGE_REMEDY}"
                missing = CorruptionError(text_of, file=name)
                continue
            try:
                check_number(tail.header, name)
                version = _read_on(tail, Version())
            except BaseException:
                tail.close()
                raise
            self.close()
            self._tail, self.version, self.store_uuid = tail, version, tail.header.store_uuid
            self.openings += 1
            return
        raise missing or AssertionError("unreachable: each attempt returns, raises, or misses a manifest")


def _read_on(tail: LogTail, version: Version) -> Version:
    """The version after all edits that are new."""
    for attempt in range(2):
        edits = [edit for frames in tail.new_frames() for edit in edits_of(frames, tail.name)]
        if edits:
            version = applied(version, edits, tail.name)
        if tail.judge():
            break
        if attempt:
            raise tail.damage()
    if tail.empty:
        raise CorruptionError("the manifest holds no version", file=tail.name, offset=tail.end)
    return version
