"""What is to be done about a key: decided by looking at both sides, nothing touched.

Source: JuiceFS Community 1.4, pkg/sync, the order of its decisions.
"""

from dataclasses import dataclass
from enum import Enum

from roost.volume.sync.items import Item, Kind
from roost.volume.sync.options import Options

_SECOND_NS = 1_000_000_000


class Verb(Enum):
    """What a step does."""

    SKIP = "skip"
    IGNORE = "ignore"  # a folder, when folders are not asked for: not counted
    EXCLUDED = "excluded"
    EXTRA = "extra"
    COPY = "copy"
    COMPARE = "compare"  # bytes of both; copy if they differ
    SET_MODE = "set mode"
    DELETE_SOURCE = "delete source"
    DELETE_TARGET = "delete target"
    MAKE_FOLDER = "make folder"
    LEAVE = "leave folder"  # when all in it is done: times, modes, removals


QUIET = frozenset({Verb.SKIP, Verb.IGNORE, Verb.EXCLUDED, Verb.EXTRA})
"""Steps that touch nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision.  `source` and `target` are what lies on either side, if anything does."""

    verb: Verb
    key: str
    source: Item | None = None
    target: Item | None = None
    line: int = 0  # of the list of files; 0 without one

    @property
    def size_bytes(self) -> int:
        """The bytes that it is about."""
        item = self.source or self.target
        return item.size_bytes if item else 0


def decide(source: Item | None, target: Item | None, options: Options) -> Verb:
    """Return what is to be done about one key that passed the selection."""
    if source is None:
        assert target is not None
        return _extra(target, options)
    if source.kind is Kind.OTHER:
        return Verb.SKIP
    if source.is_folder:
        return _folder(target, options)
    if target is None:
        return Verb.SKIP if options.existing else Verb.COPY
    return _both(source, target, options)


def needs_mode(source: Item, target: Item) -> bool:
    """True if modes or owners are known on both sides and differ."""
    if source.mode is None or target.mode is None:
        return False
    mine = (source.mode, source.uid, source.gid)
    return mine != (target.mode, target.uid, target.gid)


def _extra(target: Item, options: Options) -> Verb:
    if not options.delete_dst or target.kind is Kind.OTHER:
        return Verb.EXTRA
    if target.is_folder and not options.dirs:
        return Verb.EXTRA
    return Verb.LEAVE if target.is_folder else Verb.DELETE_TARGET


def _folder(target: Item | None, options: Options) -> Verb:
    if not options.dirs:
        return Verb.IGNORE
    if target is not None and target.is_folder:
        return Verb.SKIP
    return Verb.SKIP if options.existing else Verb.MAKE_FOLDER


def _both(source: Item, target: Item, options: Options) -> Verb:
    if options.ignore_existing:
        return Verb.SKIP
    if options.force_update or source.kind is not target.kind:
        return Verb.COPY
    if source.kind is Kind.LINK:
        return Verb.COPY if source.target != target.target else _same(source, target, options)
    here, there = source.mtime_ns // _SECOND_NS, target.mtime_ns // _SECOND_NS
    if options.update:
        if here > there:
            return Verb.COPY
        if here < there:
            return Verb.SKIP
    elif source.size_bytes != target.size_bytes:
        return Verb.COPY
    if options.check_all:
        return Verb.COMPARE
    return _same(source, target, options)


def _same(source: Item, target: Item, options: Options) -> Verb:
    if options.delete_src and source.size_bytes == target.size_bytes:
        return Verb.DELETE_SOURCE
    if options.perms and source.kind is Kind.FILE and needs_mode(source, target):
        return Verb.SET_MODE
    return Verb.SKIP
