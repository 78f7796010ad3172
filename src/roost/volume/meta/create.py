"""Making nodes: files, directories, links, devices."""

import errno
from dataclasses import dataclass, replace

from roost.volume.errors import FsError
from roost.volume.meta import rules, usage
from roost.volume.meta.effects import AddEdge, AddNode, PutDirUsage, PutSymlink
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NODE_SPACE_BYTES,
    SYMLINK_BYTES_MAX,
    Caller,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Node,
)


@dataclass(frozen=True, slots=True)
class NewNode:
    """What is to be made; `mode` has the umask applied already."""

    kind: Kind
    mode: int
    rdev: int = 0
    target: bytes | None = None  # of a symbolic link
    reuse_file: bool = False  # an existing regular file will do


def create(volume: OpenVolume, parent: Ino, name: bytes, new: NewNode, caller: Caller) -> Node:
    """Add a node named `name` under `parent` and return it.  One commit.

    The number is taken before the transaction, so that a second run does not spend another.
    Raises FsError: ENOENT parent gone or trashed; ENOTDIR; EACCES; EPERM; EEXIST name taken;
    EISDIR a directory where a file would do; ENAMETOOLONG; EINVAL; ENOSPC over a limit.
    Source: mknod(2), mkdir(2), symlink(2).
    """
    rules.check_new_name(parent, name)
    if new.kind is Kind.SYMLINK:
        _check_target(parent, new.target)
    ino = Ino(volume.inos.take())

    def add(txn: Txn) -> Node:
        folder = rules.directory_to_add_to(parent, txn.node(parent), caller)
        edge = txn.edge(parent, name)
        if edge is not None:
            return _existing(txn, parent, name, edge, new)
        usage.check_limits(txn, volume.settings, NODE_SPACE_BYTES, 1)
        attr = rules.new_child(parent, folder, caller, new.kind, new.mode, txn.now_ns)
        attr = replace(attr, rdev=new.rdev, length=len(new.target or b"") or attr.length)
        return _add(txn, volume, name, Node(ino, attr), new.target)

    return volume.engine.run(add)


def _check_target(parent: Ino, target: bytes | None) -> None:
    if not target or b"\0" in target:
        raise FsError(errno.EINVAL, parent)
    if len(target) > SYMLINK_BYTES_MAX:
        raise FsError(errno.ENAMETOOLONG, parent)


def _existing(txn: Txn, parent: Ino, name: bytes, edge: Edge, new: NewNode) -> Node:
    if not new.reuse_file:
        raise FsError(errno.EEXIST, parent, name)
    if edge.kind is Kind.DIRECTORY:
        raise FsError(errno.EISDIR, parent, name)
    if edge.kind is not Kind.FILE:
        raise FsError(errno.EEXIST, parent, name)
    attr = txn.node(edge.ino)
    if attr is None:
        raise missing_node(parent, name, edge.ino)
    return Node(edge.ino, attr)


def _add(txn: Txn, volume: OpenVolume, name: bytes, node: Node, target: bytes | None) -> Node:
    attr, parent = node.attr, node.attr.parent
    txn.do(AddNode(node.ino, attr), AddEdge(parent, name, Edge(attr.kind, node.ino)))
    if target is not None:
        txn.do(PutSymlink(node.ino, target))
    if attr.is_directory and volume.settings.dir_stats:
        txn.do(PutDirUsage(node.ino, DirUsage()))
    txn.do(rules.touched(parent, txn.now_ns, nlink_by=1 if attr.is_directory else 0))
    usage.charge_volume(txn, NODE_SPACE_BYTES, 1)
    usage.charge_directory(txn, volume.settings, parent, usage.as_child(attr))
    return node
