"""Access times: whether a read changes them, and the commit that does.

Source: mount(8) noatime, relatime, strictatime.
"""

from roost.volume.meta.answers import AtimeMode
from roost.volume.meta.effects import ChangeNode, NodeChange
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.txn import Txn
from roost.volume.model import Attr, Ino

RELATIVE_AGE_NS = 24 * 3600 * 1_000_000_000
ALWAYS_AGE_NS = 1_000_000_000  # as JuiceFS: at most one commit a second


def accessed(volume: OpenVolume, ino: Ino, attr: Attr | None) -> None:
    """Note a read of the node.  One commit, or none if the time is fresh enough.

    `attr`, if known, decides whether a commit is tried at all.
    """
    if volume.atime_mode is AtimeMode.NEVER:
        return
    if attr is not None and not _is_due(volume.atime_mode, attr, volume.clock.wall_ns()):
        return

    def touch(txn: Txn) -> None:
        stored = txn.exact_node(ino)
        if stored is not None and _is_due(volume.atime_mode, stored, txn.now_ns):
            txn.do(ChangeNode(ino, NodeChange(atime_ns=txn.now_ns)))

    volume.engine.run(touch)


def _is_due(mode: AtimeMode, attr: Attr, now_ns: int) -> bool:
    age_ns = now_ns - attr.atime_ns
    if mode is AtimeMode.ALWAYS:
        return age_ns > ALWAYS_AGE_NS
    is_older = attr.atime_ns <= attr.mtime_ns or attr.atime_ns <= attr.ctime_ns
    return is_older or age_ns > RELATIVE_AGE_NS
