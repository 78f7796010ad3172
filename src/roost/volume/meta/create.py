"""Making nodes: files, directories, links, devices, and files without a name."""

import errno
import logging
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from roost.volume.errors import FsError, InodeTaken
from roost.volume.meta import acl, dir_times, leases, rules, usage
from roost.volume.meta.effects import (
    AddEdge,
    AddNode,
    PutAcl,
    PutDirUsage,
    PutSustained,
    PutSymlink,
)
from roost.volume.meta.lookup import missing_node
from roost.volume.meta.open_volume import INOS_AT_ONCE, OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.txn import Txn
from roost.volume.model import (
    NO_SESSION,
    NODE_SPACE_BYTES,
    SYMLINK_BYTES_MAX,
    Attr,
    Caller,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Node,
)
from roost.volume.values import value

INOS_SKIPPED = 20  # gaps of numbers in use, each twice as large as the one before
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX

log = logging.getLogger(__name__)


@value(frozen=True, slots=True)
class NewNode:
    """What is to be made; `umask` counts only where the directory has no default ACL."""

    kind: Kind
    mode: int
    rdev: int = 0
    target: bytes | None = None  # of a symbolic link
    reuse_file: bool = False  # an existing regular file will do
    umask: int = 0


def create(volume: OpenVolume, parent: Ino, name: bytes, new: NewNode, caller: Caller) -> Node:
    """Add a node named `name` under `parent` and return it.  One commit.

    The number is taken before the transaction, so that a second run does not spend another.
    Raises FsError: ENOENT parent gone or trashed; ENOTDIR; EACCES; EPERM; EEXIST name taken;
    EISDIR a directory where a file would do; ENAMETOOLONG; EINVAL; ENOSPC, EDQUOT over a limit.
    Source: mknod(2), mkdir(2), symlink(2).
    """
    rules.check_new_name(parent, name)
    if new.kind is Kind.SYMLINK:
        _check_target(parent, new.target)

    def add(ino: Ino, txn: Txn) -> Node:
        entry = EdgeWanted(parent, name, child=new.reuse_file)
        txn.load(NodeWanted(parent), entry, *usage.limits_wanted(volume))
        folder = rules.directory_to_add_to(txn, parent, txn.node(parent), caller)
        edge = txn.edge(parent, name)
        if edge is not None:
            return _existing(txn, parent, name, edge, new)
        attr, new_rule = _new_attr(txn, parent, folder, new, caller)
        above = usage.quota_dirs(txn, volume, parent)
        usage.check_growth(txn, volume, attr, above, NODE_SPACE_BYTES, 1)
        if new_rule is not None:
            txn.do(new_rule)
        txn.do(AddNode(ino, attr), AddEdge(parent, name, Edge(attr.kind, ino)))
        if new.target is not None:
            txn.do(PutSymlink(ino, new.target))
        if attr.is_directory and volume.settings.dir_stats:
            txn.do(PutDirUsage(ino, DirUsage()))
        dir_times.touch(txn, volume, parent, folder, nlink_by=int(attr.is_directory))
        usage.charge_node(txn, volume, attr, NODE_SPACE_BYTES, 1)
        usage.charge_name(txn, volume, parent, above, usage.as_child(attr))
        return Node(ino, attr)

    return _with_new_ino(volume, lambda ino: volume.engine.run(partial(add, ino)))


def create_nameless(volume: OpenVolume, parent: Ino, new: NewNode, caller: Caller) -> Node:
    """Add a file that only this session's open keeps, and count that open.  One commit.

    Raises FsError: as create; ENOTSUP without a session.  Source: open(2), O_TMPFILE.
    """
    if volume.sid == NO_SESSION or rules.is_trash(parent):
        raise FsError(errno.ENOTSUP, parent)

    def add(ino: Ino, txn: Txn) -> Node:
        txn.load(NodeWanted(parent), *usage.limits_wanted(volume))
        folder = rules.directory_to_add_to(txn, parent, txn.node(parent), caller)
        attr, new_rule = _new_attr(txn, parent, folder, new, caller)
        attr = replace(attr, nlink=0)
        usage.check_growth(txn, volume, attr, (), NODE_SPACE_BYTES, 1)
        if new_rule is not None:
            txn.do(new_rule)
        leases.make_sure(txn, volume)
        txn.do(AddNode(ino, attr), PutSustained(volume.sid, ino))
        usage.charge_node(txn, volume, attr, NODE_SPACE_BYTES, 1)
        return Node(ino, attr)

    def add_open(ino: Ino) -> Node:
        volume.opens.opened_nameless(ino)
        try:
            return volume.engine.run(partial(add, ino))
        except BaseException:
            volume.opens.closed(ino)
            raise

    return _with_new_ino(volume, add_open)


def _with_new_ino(volume: OpenVolume, make: Callable[[Ino], Node]) -> Node:
    """Make a node with a number of its own; where a counter went back, look for one farther on."""
    for doubled in range(INOS_SKIPPED):
        ino = Ino(volume.inos.take())
        try:
            return make(ino)
        except InodeTaken as error:
            log.warning("a number for a new node is in use, the next are left out: %s", error)
            volume.inos.skip(ino, INOS_AT_ONCE << doubled)
    return make(Ino(volume.inos.take()))


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
    attr = txn.exact_node(edge.ino)
    if attr is None:
        raise missing_node(parent, name, edge.ino)
    return Node(edge.ino, attr)


def _new_attr(
    txn: Txn, parent: Ino, folder: Attr, new: NewNode, caller: Caller
) -> tuple[Attr, PutAcl | None]:
    """Return the new node's attributes, and the effect that stores its ACL, if it needs one."""
    mode, access_acl, default_acl = new.mode & 0o7777 & ~new.umask, 0, 0
    new_rule = None
    if folder.default_acl and new.kind is not Kind.SYMLINK:
        mode = new.mode & 0o7777
        default_acl = folder.default_acl if new.kind is Kind.DIRECTORY else 0
        default = acl.read(txn, folder.default_acl)
        if acl.is_minimal(default):
            mode &= _SPECIAL_BITS | acl.mode_bits(default)
        else:
            inherited = acl.child_rule(default, mode)
            access_acl, new_rule = acl.number_of(txn, inherited)
            mode = mode & _SPECIAL_BITS | acl.mode_bits(inherited)
    start = rules.Start(
        kind=new.kind,
        mode=mode,
        rdev=new.rdev,
        length=0 if new.target is None else len(new.target),
        access_acl=access_acl,
        default_acl=default_acl,
    )
    return rules.new_child(parent, folder, caller, start, txn.now_ns), new_rule
