"""Hard links."""

import errno

from roost.volume.errors import FsError
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.effects import AddEdge, ChangeNode, NodeChange, merged
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import Caller, Edge, Flag, Ino, Node


def link(volume: OpenVolume, ino: Ino, parent: Ino, name: bytes, caller: Caller) -> Node:
    """Give the node one more name.  One commit.

    From then on the node's own `parent` is 0 for ever; its parents are found through its entries.
    Raises FsError: ENOENT, ENOTDIR, EEXIST, EACCES; EPERM a directory, a guarded or trashed node.
    Source: link(2).
    """
    rules.check_new_name(parent, name)

    def add(txn: Txn) -> Node:
        attr = rules.found(ino, txn.exact_node(ino))
        if attr.is_directory or attr.flags & (Flag.IMMUTABLE | Flag.APPEND_ONLY):
            raise FsError(errno.EPERM, ino)
        trash.refuse_in_trash(ino, attr)
        if attr.nlink == 0:
            raise FsError(errno.ENOENT, ino)  # open, but without a name
        rules.directory_to_add_to(parent, txn.node(parent), caller)
        if txn.edge(parent, name) is not None:
            raise FsError(errno.EEXIST, parent, name)
        change = NodeChange(nlink_by=1, ctime_at_least_ns=txn.now_ns, parent=Ino(0))
        txn.do(
            AddEdge(parent, name, Edge(attr.kind, ino)),
            ChangeNode(ino, change),
            rules.touched(parent, txn.now_ns),
        )
        usage.charge_directory(txn, volume.settings, parent, usage.as_child(attr))
        return Node(ino, merged(attr, change))

    return volume.engine.run(add)
