"""Finding nodes by name."""

import errno
import os

from roost.errors import CorruptRecord
from roost.volume.errors import FsError
from roost.volume.meta import rules
from roost.volume.meta.reads import EdgeWanted, NodeWanted, Reads
from roost.volume.meta.txn import Engine
from roost.volume.model import (
    NAME_BYTES_MAX,
    ROOT,
    TRASH,
    TRASH_NAME,
    AclRule,
    Attr,
    Caller,
    Ino,
    Kind,
    Node,
)

LINKS_FOLLOWED_MAX = 40  # as Linux


def lookup(engine: Engine, parent: Ino, name: bytes, caller: Caller) -> Node:
    """Return the node that `name` in `parent` points at.

    Raises FsError: ENOENT, ENOTDIR, EACCES, ENAMETOOLONG; CorruptRecord for an entry whose node
    is missing.
    """
    return engine.read(lambda reads: _step(reads, parent, name, caller))


def getattr_(engine: Engine, ino: Ino) -> Attr:
    """Return a node's attributes.  Raises FsError ENOENT."""
    return engine.read(lambda reads: rules.found(ino, reads.node(ino)))


def access(engine: Engine, node: Node, wanted: int, caller: Caller) -> None:
    """Demand permissions on a node just read.  Raises FsError EACCES."""
    if node.attr.access_acl:
        engine.read(lambda reads: rules.demand(reads, node.ino, node.attr, caller, wanted))
    else:
        rules.demand(_NO_ACLS, node.ino, node.attr, caller, wanted)


class _NoAcls:
    def acl(self, acl_id: int) -> AclRule | None:
        raise AssertionError("the node has no rule")


_NO_ACLS = _NoAcls()


def readlink(engine: Engine, ino: Ino) -> bytes:
    """Return a link's target.  Raises FsError: ENOENT; EINVAL not a link; CorruptRecord."""

    def target(reads: Reads) -> bytes:
        attr = rules.found(ino, reads.node(ino))
        if attr.kind is not Kind.SYMLINK:
            raise FsError(errno.EINVAL, ino)
        return _target(reads, ino)

    return engine.read(target)


def resolve(engine: Engine, path: str | bytes, caller: Caller, *, follow: bool) -> Node:
    """Return the node at `path`, in one snapshot.

    Raises FsError: as lookup; ELOOP, and ENAMETOOLONG for a name.
    """
    raw = os.fsencode(path)
    return engine.read(lambda reads: _walk(reads, raw, caller, follow))


def _walk(reads: Reads, path: bytes, caller: Caller, follow: bool) -> Node:
    node = Node(ROOT, rules.directory(ROOT, reads.node(ROOT)))
    ahead = [name for name in reversed(path.split(b"/")) if name]
    must_be_directory = path.endswith(b"/")
    links = 0
    while ahead:
        name = ahead.pop()
        child = _step(reads, node.ino, name, caller)
        if child.attr.kind is Kind.SYMLINK and (ahead or follow or must_be_directory):
            links += 1
            if links > LINKS_FOLLOWED_MAX:
                raise FsError(errno.ELOOP, child.ino, name)
            target = _target(reads, child.ino)
            ahead.extend(part for part in reversed(target.split(b"/")) if part)
            if target.startswith(b"/"):
                node = Node(ROOT, rules.directory(ROOT, reads.node(ROOT)))
            continue
        node = child
    if must_be_directory:
        rules.directory(node.ino, node.attr)
    return node


def _step(reads: Reads, parent: Ino, name: bytes, caller: Caller) -> Node:
    reads.load((NodeWanted(parent), EdgeWanted(parent, name, child=True)))
    folder = rules.directory(parent, reads.node(parent))
    rules.demand(reads, parent, folder, caller, rules.EXECUTE)
    if len(name) > NAME_BYTES_MAX:
        raise FsError(errno.ENAMETOOLONG, parent, name[:32])
    if name == b".":
        return Node(parent, folder)
    if name == b"..":
        return Node(folder.parent, rules.found(folder.parent, reads.node(folder.parent)))
    if parent == ROOT and name == TRASH_NAME:
        return Node(TRASH, rules.found(TRASH, reads.node(TRASH)))
    edge = reads.edge(parent, name)
    if edge is None:
        raise FsError(errno.ENOENT, parent, name)
    attr = reads.node(edge.ino)
    if attr is None:
        raise missing_node(parent, name, edge.ino)
    return Node(edge.ino, attr)


def missing_node(parent: Ino, name: bytes, ino: Ino) -> CorruptRecord:
    """Return the damage of an entry whose node does not exist."""
    where = f"entry {os.fsdecode(name)!r} of directory {parent}"
    return CorruptRecord(where, f"its inode {ino} does not exist")


def _target(reads: Reads, ino: Ino) -> bytes:
    target = reads.symlink(ino)
    if not target:
        raise CorruptRecord(f"symbolic link {ino}", "it has no target")
    return target
