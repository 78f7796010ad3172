"""Which commits may share one transaction: those of which none depends on what another writes.

Additions merge, so a hundred creators in one directory share a transaction; a removal that rests on
a link count that a neighbour changes does not.
"""

from roost.volume.meta import checks as ck
from roost.volume.meta import effects as fx
from roost.volume.meta.txn import Commit

Mark = tuple[object, ...]
_ANY_NAME: Mark = ("names",)
_IDENTITY_FIELDS = (
    "mode", "uid", "gid", "flags", "parent", "access_acl", "default_acl", "tier",
)  # fmt: skip


class Footprint:
    """What the commits taken in so far have written."""

    def __init__(self) -> None:
        self._written: set[Mark] = set()

    def admits(self, commit: Commit) -> bool:
        """True if the commit depends on nothing written so far."""
        return not any(self._touches(check) for check in commit.checks)

    def add(self, commit: Commit) -> None:
        """Take in what a commit writes."""
        for effect in commit.effects:
            self._written.update(_marks(effect))

    def _touches(self, check: ck.Check) -> bool:
        return not self._written.isdisjoint(_needs(check))


def _marks(effect: fx.Effect) -> tuple[Mark, ...]:
    match effect:
        case fx.AddNode(ino) | fx.DropNode(ino):
            return ("identity", ino), ("node", ino), ("xattr", ino)
        case fx.ChangeNode(ino, change):
            if any(getattr(change, name) is not None for name in _IDENTITY_FIELDS):
                return ("identity", ino), ("node", ino)
            return (("node", ino),)
        case fx.AddEdge(parent, name) | fx.DropEdge(parent, name):
            return ("edge", parent, name), ("entries", parent), _ANY_NAME
        case fx.PutXattr(ino) | fx.DropXattrs(ino):
            return (("xattr", ino),)
        case fx.AppendSlices(ino) | fx.ReplaceSlices(ino) | fx.DropChunk(ino):
            return (("slices", ino),)
        case fx.AddCounter(name) | fx.PutCounter(name):
            return (("counter", name),)
        case _:
            return (("other",),)


def _needs(check: ck.Check) -> tuple[Mark, ...]:
    match check:
        case ck.NodeIs(ino):
            return (("identity", ino),)
        case ck.NodeIsExactly(ino):
            return ("identity", ino), ("node", ino)
        case ck.EdgeIs(parent, name):
            return (("edge", parent, name),)
        case ck.EntriesAre(ino):
            return (("entries", ino),)
        case ck.ParentsAre():
            return (_ANY_NAME,)
        case ck.XattrIs(ino):
            return (("xattr", ino),)
        case ck.SlicesAre(ino) | ck.SlicesBegin(ino):
            return (("slices", ino),)
        case ck.CounterIs(name):
            return (("counter", name),)
        case _:
            return (("other",),)
