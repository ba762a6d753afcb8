"""What can happen to a store in one cycle, and what can be switched off to see whether the rig notices."""

from __future__ import annotations

from enum import StrEnum

# What can be switched off, and how a kill, a damaged log or a power cut shows it.
SABOTAGE_NAMES = {
    "ack-before-log": "writes return before the kernel has them: acknowledged ones are lost",
    "no-crc": "the log is replayed without its checksums: a frame torn by a kill counts as whole",
    "reused-sequence": "sequence numbers start again at each open: older records win",
    "early-rename": "CURRENT names a manifest that is not written yet: the next open fails",
    "no-seal-check": "a flush takes damage in the log for its end: acknowledged writes are lost",
    "tombstone-dropped-early": "tombstones go while older records lie below: deleted keys are back",
    "rotated-log-not-replayed": "only the newest log segment is replayed: acknowledged writes are lost",
    "orphans-kept": "nothing is cleaned up at open: orphan files stay",
    "deaf-worker": "workers do not look for their owner: processes are left behind",
    "skip-directory-sync": "new names are not synced: a power cut takes files that the manifest counts on",
    "skip-table-sync": "tables are not synced: a power cut empties files that the manifest counts on",
}

# Where a power cut can happen: loop devices with a real file system, which need root, and a model of a disk.
POWER_VOLUMES = ("ext4", "xfs", "model")
# Disks that fill up: both need root.
SMALL_VOLUMES = ("tmpfs", "small-ext4")


class Fault(StrEnum):
    """What happens to the processes or files of a store in one cycle."""

    KILL_OWNER = "owner"
    KILL_OWNER_REOPENING = "owner-reopening"  # and once more, while the next owner opens the store
    KILL_FLUSH_WORKER = "flush-worker"
    KILL_COMPACTION_WORKER = "compaction-worker"
    STOP_WORKER = "stop-worker"  # SIGSTOP, and SIGCONT later
    ORPHAN_STOPPED_WORKER = "orphan-stopped-worker"  # SIGSTOP, kill the owner, reopen, SIGCONT
    DAMAGE_SEALED_LOG = "damage-sealed-log"  # a byte of a sealed segment flips before its flush
    KILL_POINT = "kill-point"  # a process dies at one operation on a file, see points.py
    DISK_ERROR = "disk-error"  # one operation on a file fails
    DAMAGE_FILE = "damage-file"  # between two owners, a file is damaged
    CUT_POWER = "power-cut"
    CUT_POWER_REOPENING = "power-cut-reopening"  # and once more, while the next owner opens the store
    FILL_DISK = "full-disk"  # until writes raise; then it gets room

    @property
    def wants_busy(self) -> bool:
        """Whether it needs a load under which workers always have something to do."""
        return self not in {Fault.KILL_OWNER, Fault.KILL_OWNER_REOPENING, Fault.DAMAGE_FILE}


POWER_FAULTS = (Fault.CUT_POWER, Fault.CUT_POWER_REOPENING)
POINT_FAULTS = (Fault.KILL_POINT, Fault.DISK_ERROR)
