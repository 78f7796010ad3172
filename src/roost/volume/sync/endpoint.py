"""What a sync asks of either side: a directory, a volume or a bucket."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from roost.errors import NotFound
from roost.volume.sync.items import Item
from roost.volume.sync.location import Location


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a place can keep beside names and bytes."""

    folders: bool
    links: bool
    modes: bool
    times: bool


UNSEEN_MODE = 0o600
"""Of a new file that is to be given its source's mode: nobody else reads it until then."""

TREE = Abilities(folders=True, links=True, modes=True, times=True)
BUCKET = Abilities(folders=False, links=False, modes=False, times=False)


class Vanished(NotFound):
    """The folder to be synced was taken away, or replaced by another one, meanwhile."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not there any more, or another folder took its place",
            hint="See that its disk is mounted, then run the same command again.",
        )


class Source(Protocol):
    """An open file, read piece by piece."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from `offset`; none at the end."""
        ...


class Endpoint(Protocol):
    """One side of a sync.  Safe to call from several threads.

    Every verb may raise OSError and RoostError; an item that is not there is FileNotFoundError.
    Keys never lead out of the root: no part is "", "." or "..".
    """

    @property
    def name(self) -> str:
        """Where it is, for messages and for the checkpoint; without secrets."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it can keep."""
        ...

    def location_of(self, key: str) -> Location:
        """Return where a key really is, links resolved, whether or not it exists; "": the root."""
        ...

    def is_there(self) -> bool:
        """False if what is to be synced does not exist: as a source that is an error.

        For a tree it is from the first call that returns True on that very folder that counts.
        Another one in its place is not it, what that lacks is not absent, and nothing is done in
        it: every verb but `open`, `set_mode` and `set_time` raises Vanished.
        """
        ...

    def demand_there(self) -> None:
        """Raise NotFound, in its own words, unless it is there; a tree that was, Vanished."""
        ...

    def demand_same(self) -> None:
        """Raise Vanished if the root was there once and is gone, or another took its place."""
        ...

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        """Yield the items whose key begins with the folder `prefix` and is not below `start`.

        In ascending order.  With `follow` symbolic links are what they lead to; one that leads
        nowhere, or to a folder it lies in, is of the kind OTHER: a copy of it is not to be taken
        for something that the source lacks.
        """
        ...

    def head(self, key: str, *, follow: bool) -> Item | None:
        """Return the item of a key, None if there is none."""
        ...

    def open(self, key: str) -> AbstractContextManager[Source]:
        """Open a file for reading."""
        ...

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        """Make the file `item.key` of `pieces` with the item's time; folders above it are made.

        It appears complete or not at all; until then it is called `draft` beside its place.  With
        an empty `draft` it is written in place.  With a mode the item will be given it by
        `set_mode`; until then the new file is its owner's alone.
        """
        ...

    def make_folder(self, key: str) -> None:
        """Make a folder and those above it, "" for the root; nothing if it is there."""
        ...

    def make_link(self, key: str, target: str) -> None:
        """Make a symbolic link, replacing a file or a link."""
        ...

    def set_mode(self, item: Item) -> None:
        """Give the item's mode and, as far as allowed, owner to what has its key."""
        ...

    def set_time(self, key: str, mtime_ns: int) -> None:
        """Set the time of the last change."""
        ...

    def delete(self, key: str) -> None:
        """Remove a file, a link, or an empty folder (OSError ENOTEMPTY); nothing if absent."""
        ...

    def read_note(self, name: str) -> bytes | None:
        """Return a small file at the root, None if there is none."""
        ...

    def write_note(self, name: str, data: bytes) -> None:
        """Store a small file at the root durably, complete or not at all."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
