"""From paths to inodes, for the in-process client."""

import errno
import os

from roost.volume.errors import FsError
from roost.volume.meta import rules
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, Caller, Flag, Ino, Kind, Node

_LINKS_MAX = 40  # as Linux


class Paths:
    """The paths of one volume as one caller may walk them."""

    def __init__(self, meta: Meta, caller: Caller) -> None:
        self._meta = meta
        self._caller = caller

    def resolve(self, path: str, *, follow: bool = True) -> Node:
        """Return the node at `path`.

        Raises FsError, naming the path: ENOENT, ENOTDIR, EACCES, ELOOP.
        """
        return self._resolved(os.fsencode(path), path, follow=follow)

    def place(self, path: str) -> tuple[Ino, bytes]:
        """Return the folder and the name of the entry at `path`, which need not exist.

        Raises FsError: as `resolve` for what is above; EBUSY for the root.
        """
        above, _, name = os.fsencode(path).rstrip(b"/").rpartition(b"/")
        if not name:
            raise FsError(errno.EBUSY, ROOT)
        return self._resolved(above + b"/", path).ino, name

    def _resolved(self, place: bytes, path: str, *, follow: bool = True) -> Node:
        """Return the node at `place`; a refusal names `path`, which the caller knows."""
        try:
            return self._meta.resolve(place, self._caller, follow=follow)
        except FsError as error:
            raise FsError(error.errno or errno.EIO, name=os.fsencode(path)) from error

    def to_open(self, path: str, mode: str, permissions: int) -> tuple[Node, bool]:
        """Return the node that open(2) with `mode` gives, and whether it was made.

        A symbolic link to nothing is followed and its target made, unless `mode` is exclusive.
        """
        if mode[0] == "r":
            return self.resolve(path), False
        for _ in range(_LINKS_MAX):
            if mode[0] != "x":
                try:
                    return self.resolve(path), False
                except FsError as error:
                    if error.errno != errno.ENOENT:
                        raise
            parent, name = self.place(path)
            try:
                return self._meta.create(parent, name, permissions, caller=self._caller), True
            except FsError as error:
                if error.errno != errno.EEXIST or mode[0] == "x":
                    raise
            path = self._past_link(path)  # or somebody else made it meanwhile
        raise FsError(errno.ELOOP)

    def permit(self, node: Node, *, read: bool, write: bool, append: bool = False) -> None:
        """Refuse what the caller may not do with the node.

        Raises FsError: EACCES; EPERM to write an immutable file, or an append-only one other than
        by appending.
        """
        flags = Flag(node.attr.flags)
        if write and (Flag.IMMUTABLE in flags or (Flag.APPEND_ONLY in flags and not append)):
            raise FsError(errno.EPERM, node.ino)
        wanted = (rules.READ if read else 0) | (rules.WRITE if write else 0)
        self._meta.access(node, wanted, self._caller)

    def _past_link(self, path: str) -> str:
        try:
            node = self.resolve(path, follow=False)
        except FsError as error:
            if error.errno == errno.ENOENT:
                return path
            raise
        if node.attr.kind is not Kind.SYMLINK:
            return path
        target = os.fsdecode(self._meta.readlink(node.ino))
        return target if target.startswith("/") else f"{os.path.dirname(path)}/{target}"
