"""The times of a directory whose names changed.

As in JuiceFS, a change that leaves the link count alone does not write them again within a tenth of
a second of the last one: many creators in one directory then write its record ten times a second,
not each time, and no other client loses the record it holds.  So the times of a directory may be
behind its last change by that much.  Source: JuiceFS, `mount --skip-dir-mtime`.
"""

from roost.volume.meta.effects import ChangeNode, NodeChange
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import Attr, Ino


def touch(txn: Txn, volume: OpenVolume, ino: Ino, folder: Attr, nlink_by: int = 0) -> None:
    """Add the effect on a directory that gained or lost a name; `folder` is how it was read.

    What is cached may be older than what is stored.  That costs a write too many, or, if another
    client set the time back within that tenth of a second, leaves it so.  A time to come is no
    reason to leave the times as they are.
    """
    age_ns = txn.now_ns - folder.mtime_ns
    if nlink_by == 0 and 0 <= age_ns < volume.skip_dir_mtime_ns:
        return
    now_ns = txn.now_ns
    change = NodeChange(nlink_by=nlink_by, mtime_at_least_ns=now_ns, ctime_at_least_ns=now_ns)
    txn.do(ChangeNode(ino, change))
