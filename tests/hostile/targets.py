"""Every target of the trials by its name."""

from __future__ import annotations

from tests.hostile import bomb_targets, log_targets, message_targets, store_targets, table_targets, text_targets

TARGETS = {
    **log_targets.TARGETS,
    **table_targets.TARGETS,
    **message_targets.TARGETS,
    **text_targets.TARGETS,
    **store_targets.TARGETS,
    **bomb_targets.TARGETS,
}
