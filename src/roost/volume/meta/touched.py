"""Bringing a listing without a snapshot up to one moment: what an engine may offer for it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from roost.volume.meta.reads import Scans
from roost.volume.model import Ino

T = TypeVar("T")

Touched = tuple[bytes, int, int]
"""A group of records that one change touches: a letter, a number and a chunk's number or 0.

I: attributes of an inode; J: all entries of a directory; K: a chunk; X: all extended attributes of
an inode; Y: a link's target; B: what a session keeps.
"""


@runtime_checkable
class TellsTouched(Scans, Protocol):
    """Scans that can tell what was changed while they list."""

    def watch(self) -> bool:
        """Begin to note what is touched; False if the server does not tell."""
        ...

    def unwatch(self) -> None:
        """Stop noting.  What nobody asks for piles up at the server."""
        ...

    def touched(self) -> set[Touched]:
        """Return what was touched since the last time, by all that was done before the call.

        Raises Unavailable.
        """
        ...

    def entries(self, touched: Iterable[Touched]) -> int:
        """Return how many entries the directories among them have now.  Raises Unavailable."""
        ...

    def read_touched(
        self,
        touched: Iterable[Touched],
        usage: Sequence[Ino],
        rule: Callable[[Scans], T],
        *,
        as_one: bool,
    ) -> tuple[T, set[Touched]]:
        """Return what `rule` makes of scans, and what was touched until just after.

        With `as_one` the scans are of one moment, and the server serves nobody else meanwhile;
        without, each record is of some moment.  They show only what is in `touched`, the statistics
        of the directories in `usage`, and all of the small tables.  `rule` is run twice, and must
        not ask for less the second time.
        """
        ...
