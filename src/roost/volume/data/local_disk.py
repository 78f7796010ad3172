"""Is a folder on a disk of this host?  Judged by the type of the file system that holds it."""

import os
from pathlib import Path

from roost.blob.place import Place

_REMOTE = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse",
        "fuseblk",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    }
)
_POINT = 4  # the field of the mount point
_MOUNTS = Path("/proc/self/mountinfo")


def is_local(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Return False for FUSE and network file systems; `folder` may be yet to be made."""
    kind = file_system_of(folder, mounts)
    return kind not in _REMOTE and not kind.startswith("fuse.")


def is_local_bucket(place: Place, mounts: Path = _MOUNTS) -> bool:
    """True if objects are files on disks of this host, those of all shards.

    Raises InvalidArgument as `Place.buckets`.
    """
    if place.storage != "file":
        return False
    return all(is_local(Path(shard.bucket), mounts) for shard in place.buckets())


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that holds `folder`: "ext4", "fuse.juicefs" …

    "unknown" where the system has no list of mounts.  Source: proc(5), mountinfo.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").split("\n")
    except OSError:
        return "unknown"
    real = os.path.realpath(folder)
    best, kind = "", "unknown"
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < _POINT + 1:
            continue
        point = _unescaped(fields[_POINT])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two on one point the later one is on top
            best, kind = point, right.split(" ")[0]
    return kind


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
