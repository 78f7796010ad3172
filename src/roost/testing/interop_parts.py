"""What the machine of both sides is made of: outcomes, the plain folder's trash, differences."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.testing.sides import ACCESS_ACL, DEFAULT_ACL, Seen, Verbs

# The same refusal under two names: POSIX lets unlink(2) of a folder fail with either.
_SAME = {errno.EISDIR: errno.EPERM}
_NO_RIGHT = ("errno EACCES", "errno EPERM")


def outcome(do: Callable[[Verbs], object], side: Verbs) -> object:
    """Return what a step answers, or the name of its refusal."""
    try:
        return do(side)
    except OSError as error:
        number = error.errno or 0
        return f"errno {errno.errorcode.get(_SAME.get(number, number), number)}"


def are_refusals(one: object, other: object) -> bool:
    """True if both refuse, one of them for want of a right."""
    both = (str(one), str(other))
    return all(text.startswith("errno ") for text in both) and any(t in _NO_RIGHT for t in both)


@dataclass(frozen=True, slots=True)
class Trashed:
    """What the plain folder had at a path; a file lies at `copy`, under one more name."""

    path: str
    seen: Seen
    copy: Path

    def keep(self, place: Path) -> None:
        """Give the file, which is about to be deleted, its name in the trash."""
        if not stat.S_ISDIR(self.seen.kind):
            os.link(place, self.copy, follow_symlinks=False)

    def put_back(self, place: Path) -> None:
        """Let the node be at `place` as it was."""
        if not stat.S_ISDIR(self.seen.kind):
            os.rename(self.copy, place)
            return
        place.mkdir()
        for name in os.listxattr(place):
            os.removexattr(place, name)  # inherited from the folder above
        os.chown(place, self.seen.uid, self.seen.gid)
        for name, value in self.seen.xattrs:
            os.setxattr(place, name, value)
        place.chmod(self.seen.mode)


def taken_from_trash(entry: Path, place: Path) -> None:
    """Move an entry of a mount's trash to a place outside.

    The node may be known to the mount's kernel under the name that another client took from it:
    the kernel then says ESTALE once, and looks the name up again.
    """
    try:
        os.rename(entry, place)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        os.rename(entry, place)


def as_cloned(source: Path, copy: Path) -> None:
    """Give the copy what a clone has: the caller's ids, the umask taken from the mode, and no ACL
    of the folder that it came into.
    """
    umask = os.umask(0)
    os.umask(umask)
    for place in [copy, *copy.rglob("*")]:
        mode = place.lstat().st_mode & 0o7777  # changing the owner clears some of it
        os.lchown(place, os.geteuid(), os.getegid())
        if not place.is_symlink():
            own = os.listxattr(source / place.relative_to(copy))
            for name in {ACCESS_ACL, DEFAULT_ACL}.intersection(os.listxattr(place)).difference(own):
                os.removexattr(place, name)
            os.chmod(place, mode & ~umask)


def below(place: Path) -> Iterator[Path]:
    """Yield the node and all below it that can have an ACL."""
    return (one for one in [place, *place.rglob("*")] if not one.is_symlink())


def acl(bits: list[int], is_named: bool, uid: int, gid: int) -> bytes:
    """Return an ACL as setxattr(2) takes it.  Source: the volume format reference, §2.10."""
    undefined = 0xFFFFFFFF
    entries = [(0x01, bits[0], undefined)]
    if is_named:
        entries += [(0x02, bits[1], uid)]
    entries += [(0x04, bits[2], undefined)]
    if is_named:
        entries += [(0x08, bits[3], gid), (0x10, bits[4], undefined)]
    entries += [(0x20, bits[5], undefined)]
    parts = [
        tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, mode, who in entries
    ]
    return (2).to_bytes(4, "little") + b"".join(parts)


def difference(one: str, ones: dict[str, Seen], other: str, others: dict[str, Seen]) -> str:
    """Return a line for all that differs between two trees."""
    lines = []
    for path in sorted(ones.keys() | others.keys()):
        left, right = ones.get(path), others.get(path)
        if left == right:
            continue
        if left is None or right is None:
            lines.append(f"{path}: only {one if right is None else other} has it")
            continue
        for name in Seen.__slots__:
            values = getattr(left, name), getattr(right, name)
            if values[0] != values[1]:
                lines.append(f"{path}: {name} is {values[0]!r} on {one}, {values[1]!r} on {other}")
    return "\n".join(lines)
