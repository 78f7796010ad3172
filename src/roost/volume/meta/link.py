"""Hard links."""

import errno

from roost.volume.errors import FsError
from roost.volume.meta import dir_times, rules, trash, usage
from roost.volume.meta.effects import AddEdge, ChangeNode, DropSustained, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.txn import Txn
from roost.volume.model import Caller, Edge, Flag, Ino, Node, QuotaKind


def link(volume: OpenVolume, ino: Ino, parent: Ino, name: bytes, caller: Caller) -> Node:
    """Give the node one more name.  One commit.

    From then on the node's own `parent` is 0 for ever; its parents are found through its entries.
    A file made without a name gets its first, and is an ordinary file then.
    Raises FsError: ENOENT, ENOTDIR, EEXIST, EACCES; EPERM a directory, a guarded or trashed node;
    EDQUOT.  Source: link(2).
    """
    rules.check_new_name(parent, name)

    def add(txn: Txn) -> Node:
        wanted = (NodeWanted(ino), NodeWanted(parent), EdgeWanted(parent, name))
        txn.load(*wanted, *usage.limits_wanted(volume))
        attr = rules.found(ino, txn.exact_node(ino))
        if attr.is_directory or attr.flags & (Flag.IMMUTABLE | Flag.APPEND_ONLY):
            raise FsError(errno.EPERM, ino)
        trash.refuse_in_trash(ino, attr)
        is_nameless = attr.nlink == 0
        if is_nameless and not volume.opens.is_nameable(ino):
            raise FsError(errno.ENOENT, ino)  # open, but its last name is gone
        folder = rules.directory_to_add_to(txn, parent, txn.node(parent), caller)
        if txn.edge(parent, name) is not None:
            raise FsError(errno.EEXIST, parent, name)
        above = usage.quota_dirs(txn, volume, parent)
        for quota_ino in above:
            space_bytes = usage.space_of(attr)
            usage.check_quota(txn, volume, QuotaKind.DIRECTORY, quota_ino, space_bytes, 1)
        change = NodeChange(
            nlink_by=1,
            ctime_at_least_ns=txn.now_ns,
            parent=parent if is_nameless else Ino(0),
        )
        txn.do(
            AddEdge(parent, name, Edge(attr.kind, ino)),
            ChangeNode(ino, change),
        )
        dir_times.touch(txn, volume, parent, folder)
        if is_nameless:
            txn.do(DropSustained(volume.sid, ino))
        usage.charge_name(txn, volume, parent, above, usage.as_child(attr))
        return Node(ino, merged(attr, change))

    node = volume.engine.run(add)
    volume.opens.named(ino)
    return node
