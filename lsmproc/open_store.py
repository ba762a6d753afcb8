"""``lsmproc.open``: from a path and options to an open store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lsmproc.config import LSMConfig
from lsmproc.opening.store_parts import check_arguments
from lsmproc.store import LSMStore
from lsmproc.timeouts import checked_timeout

if TYPE_CHECKING:
    from lsmproc.env import Env


def open_store(
    path: str | os.PathLike[str],
    /,
    *,
    config: LSMConfig | None = None,
    env: Env | None = None,
    lock_wait_seconds: float = 0.0,
    wait: float | None = None,
    **options: Any,
) -> LSMStore:
    """Open the store in the directory ``path``, or make it: ``lsmproc.open(path, **options)``.

    Args:
        path: the store's directory.
        config: settings to start from; ``path`` and ``options`` count over them.
        env: the worker pool, limiter and cache to share with other stores; None makes a private one.
        lock_wait_seconds: how long to wait for another owner to close the store, or to die.
        wait: the same, by its short name; it counts if both are given.
        **options: any field of LSMConfig.

    Raises:
        ConfigError: an option is unknown or has a value that cannot work; all problems at once.
        TypeError, ValueError: another argument that cannot be meant.
        NotAStoreError, LockedError, CorruptionError, StorageError: as LSMStore.
    """
    if wait is not None:
        lock_wait_seconds = checked_timeout(wait, "wait")
    if config is not None:
        check_arguments(config, env, lock_wait_seconds)
    chosen = LSMConfig.from_options(path, **options) if config is None else config.replace(data_dir=path, **options)
    return LSMStore(chosen, env=env, lock_wait_seconds=lock_wait_seconds)
