"""One key moved from one side to the other, and compared."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import google_crc32c

from roost.blob.limits import Rate
from roost.errors import CorruptRecord, Failure, NotFound
from roost.sizes import MIB
from roost.volume.sync.endpoint import Endpoint, Source
from roost.volume.sync.items import Item

PIECE_BYTES = 4 * MIB
_SECOND_NS = 1_000_000_000


class Changed(Failure):
    """The source changed while it was listed or copied."""


@dataclass(slots=True)
class Sum:
    """A checksum that grows with the bytes it sees."""

    value: int = 0
    size_bytes: int = 0

    def add(self, piece: bytes) -> None:
        """Take more bytes."""
        self.value = google_crc32c.extend(self.value, piece)
        self.size_bytes += len(piece)


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies files from `source` to `target`; `run` names what is unfinished."""

    source: Endpoint
    target: Endpoint
    run: str
    inplace: bool = False
    rate: Rate | None = None
    told: Callable[[int], None] = field(default=lambda _size_bytes: None)

    def copy(self, item: Item) -> Sum:
        """Copy a file; return the checksum of what was read.

        A file that grows meanwhile is copied as long as it was when it was listed; one that became
        shorter raises Changed, and no copy appears.
        """
        total = Sum()
        draft = "" if self.inplace else self.draft_of(item.key)
        with self.source.open(item.key) as reader:
            pieces = self._pieces(reader, total, item.size_bytes)
            self.target.write(item, _whole(pieces, item), draft)
        return total

    def sum_of(self, endpoint: Endpoint, key: str) -> Sum:
        """Return the checksum of a file's bytes."""
        total = Sum()
        with endpoint.open(key) as reader:
            for _ in self._pieces(reader, total, None):
                pass
        return total

    def verify(self, item: Item, total: Sum) -> None:
        """Raise CorruptRecord unless the target reads back as what was copied."""
        if self.sum_of(self.target, item.key) != total:
            raise CorruptRecord(
                f"{self.target.name}{item.key}",
                "what was copied reads back different",
                hint="Copy it again; if it stays so, check the disk or the bucket.",
            )

    def check_unchanged(self, item: Item, *, follow: bool) -> None:
        """Raise Changed if the source, or the copy's size, is not what was listed.

        Raises NotFound if the source is not there any more.
        """
        now = self.source.head(item.key, follow=follow)
        if now is None:  # the copy may be the last one
            raise NotFound(f"{item.key} was removed while it was copied")
        same_time = now.mtime_ns // _SECOND_NS == item.mtime_ns // _SECOND_NS
        if now.size_bytes != item.size_bytes or not same_time:
            raise Changed(f"{item.key} changed while it was copied")
        copy = self.target.head(item.key, follow=follow)
        if copy is None or copy.size_bytes != item.size_bytes:
            raise Changed(f"{item.key}: the copy has another size")

    def draft_of(self, key: str) -> str:
        """Return the name of the unfinished file: the same again when a run is resumed."""
        digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return f".roost-sync-{self.run}-{digest}.tmp"

    def _pieces(self, reader: Source, total: Sum, length: int | None) -> Iterator[bytes]:
        while length is None or total.size_bytes < length:
            wanted = PIECE_BYTES if length is None else min(PIECE_BYTES, length - total.size_bytes)
            piece = reader.read(total.size_bytes, wanted)
            if not piece:
                return
            total.add(piece)
            if self.rate is not None:
                self.rate.take(len(piece))
            self.told(len(piece))
            yield piece


def _whole(pieces: Iterator[bytes], item: Item) -> Iterator[bytes]:
    """Yield the pieces; raise Changed at their end, before the file appears, if any is missing."""
    size_bytes = 0
    for piece in pieces:
        size_bytes += len(piece)
        yield piece
    if size_bytes != item.size_bytes:
        raise Changed(f"{item.key} became shorter: {item.size_bytes} bytes, now {size_bytes}")


def is_not_empty(error: OSError) -> bool:
    """True if a folder could not be removed because something is in it."""
    return error.errno in (errno.ENOTEMPTY, errno.EEXIST)
