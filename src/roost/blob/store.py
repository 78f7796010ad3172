"""What the volume asks of an object store: a few verbs, and the failures a caller can act on.

Keys are text of one or more parts joined by "/"; no part is empty, "." or "..".  Every store checks
keys on the way in (`check_key`) and listings on the way out, so that a name that could not have
been stored is never handed on.  An object appears complete or not at all, and is durable when
`put` returns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import Buffer

from roost.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable

KEY_BYTES_MAX = 1024
PART_BYTES_MAX = 255


class BlobNotFound(NotFound):
    """No object has that key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: no such object")
        self.key = key


class BlobExists(AlreadyExists):
    """An object already has the key of a `put_if_absent`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: the object exists")
        self.key = key


class BucketMissing(Unavailable):
    """There is no such bucket.  Never retried, and never read as an absent object."""

    hint = "Make the bucket first, or check its name and the endpoint."


class StoreDenied(Unavailable):
    """The store refuses who we are or what we may do.  Never retried."""

    hint = "Check the access key, the secret key, the clock and the bucket's policy."


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One object as `head` and `list` see it."""

    key: str
    size_bytes: int
    mtime_ns: int


class BlobStore(Protocol):
    """Objects by key.  Safe to call from several threads.

    Every verb may raise Unavailable (the store cannot be reached; BucketMissing and StoreDenied if
    it refuses us) and InvalidArgument (the key is none).
    """

    @property
    def name(self) -> str:
        """Where the objects lie, for messages; without secrets."""
        ...

    def put(self, key: str, data: Buffer) -> None:
        """Store `data` durably under `key`, replacing what was there.  Raises StorageFull."""
        ...

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """Store `data` durably unless the key is taken.

        Raises BlobExists; StorageFull; Unsupported if the store cannot do this in one step.
        """
        ...

    def get(self, key: str) -> Buffer:
        """Return the whole object, in memory that never changes.  Raises BlobNotFound."""
        ...

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """Return at most `size_bytes` from `offset`; shorter only at the object's end.

        Raises BlobNotFound.
        """
        ...

    def head(self, key: str) -> BlobInfo:
        """Return size and date of an object.  Raises BlobNotFound."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; silently nothing if there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield the objects whose key begins with `prefix`, in ascending order of their keys."""
        ...


def key_problem(key: str) -> str | None:
    """Return why `key` cannot name an object, None if it can."""
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        return "is not text"
    if len(raw) > KEY_BYTES_MAX:
        return f"is longer than {KEY_BYTES_MAX} bytes"
    if "\0" in key:
        return "contains NUL"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if len(part.encode()) > PART_BYTES_MAX:
            return f"has a part longer than {PART_BYTES_MAX} bytes"
    return None


def check_key(key: str) -> None:
    """Raise InvalidArgument unless `key` can name an object."""
    problem = key_problem(key)
    if problem is not None:
        raise InvalidArgument(f"object key {key!r} {problem}")
