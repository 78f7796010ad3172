"""What a listing yields: like os.DirEntry, with the attributes already there."""

import os
import stat
from dataclasses import dataclass

from roost.volume.layout import align_4k
from roost.volume.model import NODE_SPACE_BYTES, Attr, Ino, Kind, Node

_NS = 1_000_000_000
_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder.  `path` is the folder's path, as it was given, and the name."""

    name: str
    path: str
    ino: Ino
    attr: Attr
    device: int = 0

    def __fspath__(self) -> str:
        return self.path

    def inode(self) -> int:
        """Return the inode's number."""
        return self.ino

    def is_dir(self) -> bool:
        """True for a folder; a symbolic link is none."""
        return self.attr.kind is Kind.DIRECTORY

    def is_file(self) -> bool:
        """True for a regular file; a symbolic link is none."""
        return self.attr.kind is Kind.FILE

    def is_symlink(self) -> bool:
        """True for a symbolic link."""
        return self.attr.kind is Kind.SYMLINK

    def stat(self) -> os.stat_result:
        """Return the attributes, without following a link and without asking the volume again."""
        return stat_result(Node(self.ino, self.attr), self.device)


def stat_result(node: Node, device: int = 0) -> os.stat_result:
    """Return a node's attributes as `os.stat` gives them; `device` stands for the volume."""
    attr = node.attr
    times = (attr.atime_ns, attr.mtime_ns, attr.ctime_ns)
    size_bytes = align_4k(attr.length) if attr.is_file else NODE_SPACE_BYTES
    more = {
        "st_atime": times[0] / _NS,
        "st_mtime": times[1] / _NS,
        "st_ctime": times[2] / _NS,
        "st_atime_ns": times[0],
        "st_mtime_ns": times[1],
        "st_ctime_ns": times[2],
        "st_blksize": NODE_SPACE_BYTES,
        "st_blocks": size_bytes // _SECTOR_BYTES,
        "st_rdev": attr.rdev,
    }
    return os.stat_result(
        (
            attr.st_mode,
            node.ino,
            device,
            attr.nlink,
            attr.uid,
            attr.gid,
            attr.length,
            *(time // _NS for time in times),
        ),
        more,
    )


def is_directory(found: os.stat_result) -> bool:
    """True if the attributes are a folder's."""
    return stat.S_ISDIR(found.st_mode)
