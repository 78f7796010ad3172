"""What a large commit stores of new nodes, in a few words of the commit script instead of many.

A word for each record costs the server a hundred microseconds a file, and everybody waits for it.
So the records of nodes that are new in the commit are written by the hundred, after one look that
none of their keys exists.  They are not kept in the cache: a large commit would fill it.
"""

from collections.abc import Iterable, Sequence

from roost.volume.codec import encode_attr, encode_edge, encode_file_edge, encode_slices
from roost.volume.engines.redis.encode import Encoded, Word
from roost.volume.meta import effects as fx
from roost.volume.meta.stored_files import AddStoredFiles
from roost.volume.meta.stored_records import taken_apart
from roost.volume.model import Ino, Kind

EFFECTS_MIN = 256  # a smaller commit is not worth it
WORDS_AT_ONCE = 4000  # Lua unpacks no more than 8,000

# With others among them, the order of all effects counts.
_COMMUTE = frozenset(
    [
        fx.AddNode, fx.AddEdge, fx.AppendSlices, fx.AddSliceRefs, fx.PutSymlink, fx.PutXattr,
        fx.PutDirUsage, fx.UseDirectory, fx.ChangeNode, fx.PutAcl, fx.PutQuota, fx.AddCounter,
        fx.PutCounter, fx.PutDeletedFile, AddStoredFiles,
    ]
)  # fmt: skip
_OF_NODES = (fx.AddNode, fx.AppendSlices, fx.PutSymlink)


def encode_many(e: Encoded, effects: Sequence[fx.Effect]) -> Iterable[fx.Effect]:
    """Add what belongs to nodes that are new in a large commit; return the other effects."""
    kinds = set(map(type, effects))
    has_stored = AddStoredFiles in kinds
    is_large = len(effects) >= EFFECTS_MIN or has_stored
    if e.keys.prefix or not is_large or not _COMMUTE.issuperset(kinds):
        # A cluster wants every key declared.
        return list(taken_apart(effects)) if has_stored else effects
    changed = {effect.ino for effect in effects if isinstance(effect, fx.ChangeNode)}
    # Without a parent of its own a node has several names, which are counted elsewhere.
    added = (one for one in effects if isinstance(one, fx.AddNode) and one.attr.parent)
    many = _Many(e, {one.ino for one in added} - changed)
    rest = [effect for effect in effects if not many.take(effect)]
    many.finish()
    return rest


class _Many:
    """Records on their way into words."""

    def __init__(self, e: Encoded, new: set[Ino]) -> None:
        self._e = e
        self._new = new
        self._strings: list[Word] = []  # key, value …
        self._entries: dict[Ino, list[Word]] = {}  # of each directory: name, value …
        self._lists: list[Word] = []  # of each list: key, number of records, records
        self._list_keys: dict[bytes, None] = {}

    def take(self, effect: fx.Effect) -> bool:
        """Take in an effect on a new node; False for another."""
        # Asked one by one: a match statement takes twice as long, and a load comes here most.
        if isinstance(effect, AddStoredFiles):
            self._take_stored(effect)
            return True
        if isinstance(effect, fx.AddEdge):
            return self._take_edge(effect)
        if isinstance(effect, fx.AddSliceRefs):
            return effect.is_new and effect.by == 1  # one reference is not stored
        if not isinstance(effect, _OF_NODES) or effect.ino not in self._new:
            return False
        if isinstance(effect, fx.AddNode):
            self._strings += (self._e.keys.node(effect.ino), encode_attr(effect.attr))
            self._e.dropped.append(("node", effect.ino))
        elif isinstance(effect, fx.AppendSlices):
            key = self._e.keys.chunk(effect.ino, effect.chunk_no)
            self._list_keys[key] = None
            if effect.records:
                records = [encode_slices((record,)) for record in effect.records]
                self._lists += (key, len(records), *records)
        else:
            self._strings += (self._e.keys.symlink(effect.ino), effect.target)
        return True

    def _take_stored(self, effect: AddStoredFiles) -> None:
        keys, dropped, parent = self._e.keys, self._e.dropped, effect.parent
        entries = self._entries.setdefault(parent, [])
        for name, ino, node, data in effect.files:
            self._strings += (keys.node(ino), node)
            entries += (name, encode_file_edge(ino))
            dropped += (("node", ino), ("edge", parent, name))
            if data:
                key = keys.chunk(ino, 0)
                self._list_keys[key] = None
                self._lists += (key, 1, data)

    def _take_edge(self, effect: fx.AddEdge) -> bool:
        parent, edge = effect.parent, effect.edge
        if edge.ino not in self._new and edge.kind is not Kind.DIRECTORY:
            return False
        pairs = self._entries.get(parent)
        if pairs is None:
            pairs = self._entries[parent] = []
        pairs += (effect.name, encode_edge(edge))
        self._e.dropped.append(("edge", parent, effect.name))
        return True

    def finish(self) -> None:
        """Add the words."""
        e = self._e
        anywhere = e.other(e.keys.setting)  # the words name their keys themselves
        for some in _parts([*self._strings[::2], *self._list_keys]):
            e.expect("none_exist", anywhere, len(some), *some)
        for some in _parts(self._strings):
            e.change("set_many", anywhere, len(some), *some)
        for parent, pairs in self._entries.items():
            place = e.of_type(e.keys.folder(parent), "hash")
            e.again[place] = None
            for some in _parts(pairs):
                e.change("hset_many", place, len(some), *some)
        if self._lists:  # pushed one by one, so in one word
            e.change("push_many", anywhere, len(self._lists), *self._lists)


def _parts(words: Sequence[Word]) -> Iterable[Sequence[Word]]:
    return (words[start : start + WORDS_AT_ONCE] for start in range(0, len(words), WORDS_AT_ONCE))
