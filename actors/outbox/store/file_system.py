"""Whether a file system can hold the file of an outbox, and how much room it has."""

import os
import sys
from pathlib import Path

from .errors import OutboxError

ANYWAY = "PYKKA_SMTP_ANY_FILESYSTEM"
"""The environment variable that allows any file system."""

_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "glusterfs"),
        *("lustre", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "drvfs", "vboxsf", "prl_fs"),
        "virtiofs",
    }
)
_MOVING = frozenset({"btrfs", "bcachefs", "nilfs2"})
"""They write a page anew each time, somewhere else."""
_FLOOR_SHARE, _FLOOR = 0.05, 500 * 1024 * 1024


def check_file_system(folder: Path) -> None:
    """Refuse a folder on a network, where neither locks nor a write-ahead log are safe.

    Raises:
        OutboxError: it is on one, and the environment does not allow it.
    """
    kind = _kind_of(folder)
    if kind in _REMOTE and os.environ.get(ANYWAY) != "1":
        raise OutboxError(
            f"{folder} is on {kind}: locks and SQLite's log are not safe there. Choose a folder on"
            f" a local disk; {ANYWAY}=1 in the environment insists"
        )


def keeps_its_place(folder: Path) -> bool:
    """Whether what was allocated there can always be written: also while the disk is full."""
    return _kind_of(folder) not in _MOVING


def _kind_of(folder: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """Return the type of the file system that a folder is on; empty if that is unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    wanted = os.path.realpath(folder)
    best, kind = "", ""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123
            for line in lines:
                head, _, tail = line.partition(" - ")
                point = _unescaped(head.split(" ")[4])
                inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, tail.split(" ")[0]
    except (OSError, IndexError):
        return ""
    return kind


def _unescaped(point: str) -> str:
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(escape, char)
    return point


def has_room(folder: Path, octets: int = 0) -> bool:
    """Whether there is more free disk than the floor: 5 %, or 500 MB where that is less.

    Args:
        folder: the folder.
        octets: what is to be written besides.
    """
    if not hasattr(os, "statvfs"):
        return True
    try:
        facts = os.statvfs(folder)
    except OSError:
        return True  # the write itself will tell
    floor = min(facts.f_blocks * facts.f_frsize * _FLOOR_SHARE, _FLOOR)
    return facts.f_bavail * facts.f_frsize > floor + octets


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    if os.name != "nt":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
