"""Very many new files as records in JuiceFS's bytes, for engines that store those."""

from typing import NamedTuple

from roost.volume.model import Ino
from roost.volume.values import value


class StoredFile(NamedTuple):
    """A new regular file with one name: records of `codec`.

    `data` is one slice of chunk 0 that no other record refers to, or b"".
    """

    name: bytes
    ino: Ino
    node: bytes
    data: bytes


@value(frozen=True, slots=True)
class AddStoredFiles:
    """Add files to a directory; no other effect of the commit is on their nodes."""

    parent: Ino
    files: tuple[StoredFile, ...]
