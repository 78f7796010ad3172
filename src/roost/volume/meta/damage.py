"""Going on after a record that does not parse, for those that are to name all damage.

Scans raise CorruptRecord at the first such record.  Who wants to go on says who is to be told: then
the record is left out and told of.  Nothing may be removed on what such scans show, since what the
record refers to is not known.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from roost.errors import CorruptRecord
from roost.volume.meta.reads import Scans
from roost.volume.model import Attr, Ino, Problem

NAMED_MAX = 100_000  # inodes with damaged records of which more than the number is kept
_ODD = (TypeError, ValueError, OverflowError)  # a column that holds another kind of value

K = TypeVar("K")
T = TypeVar("T")
OnDamage = Callable[[Problem], None]
"""Told of a record that does not parse: the inode that it is of, or 0, and what is wrong."""


@runtime_checkable
class TellsDamage(Protocol):
    """Scans of an engine whose records may not parse."""

    def tell_damage(self, told: OnDamage) -> None:
        """From now on leave out records that do not parse, and tell of each."""
        ...


def tell_damage(scans: Scans, told: OnDamage) -> None:
    """Let scans go on after records that do not parse, where their engine can have such."""
    if isinstance(scans, TellsDamage):
        scans.tell_damage(told)


def ignore(_problem: Problem) -> None:
    """Be told of damage that somebody else has named already."""


class Leniency:
    """What scans do about records that do not parse: raise, until somebody is to be told."""

    def __init__(self) -> None:
        self.told: OnDamage | None = None

    def take(self, error: CorruptRecord, ino: int = 0) -> None:
        """Tell of a record, or raise its error."""
        if self.told is None:
            raise error
        self.told(Problem(Ino(ino), str(error)))

    def each(
        self, found: Iterable[K], made: Callable[[K], T], ino_of: Callable[[K], Any] = lambda _: 0
    ) -> list[T]:
        """Return what is made of each record; those that do not parse are taken."""
        rows = found if isinstance(found, Sequence) else list(found)
        try:
            return [made(row) for row in rows]
        except (CorruptRecord, *_ODD):
            return list(self._one_by_one(rows, made, ino_of))

    def _one_by_one(
        self, rows: Sequence[K], made: Callable[[K], T], ino_of: Callable[[K], Any]
    ) -> Iterator[T]:
        for row in rows:
            ino = ino_of(row)
            try:
                one = made(row)
            except CorruptRecord as error:
                self.take(error, ino)
            except _ODD as error:
                where = f"a record of inode {ino}" if ino else "a record"
                self.take(CorruptRecord(where, f"a value that cannot be: {error}"), ino)
            else:
                yield one


class Unread:
    """Inodes of which a record did not parse, and what is known of them; bounded."""

    def __init__(self, told: OnDamage) -> None:
        self._told = told
        self.inos: set[Ino] = set()
        self.count = 0
        self.named_in: dict[Ino, Ino] = {}
        """A directory that names the inode, whose own record cannot say it."""

    def tell(self, problem: Problem) -> None:
        """As OnDamage."""
        self.count += 1
        if problem.ino and len(self.inos) < NAMED_MAX:
            self.inos.add(problem.ino)
        self._told(problem)


def nodes_or_damage(scans: Scans, inos: Sequence[Ino]) -> list[Attr | CorruptRecord | None]:
    """Return as Scans.nodes_of, with the damage in place of those that do not parse."""
    try:
        return list(scans.nodes_of(inos))
    except CorruptRecord:
        return [_node_or_damage(scans, ino) for ino in inos]


def _node_or_damage(scans: Scans, ino: Ino) -> Attr | CorruptRecord | None:
    try:
        return scans.nodes_of([ino])[0]
    except CorruptRecord as error:
        return error
