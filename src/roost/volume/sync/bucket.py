"""A bucket as one side of a sync: any BlobStore.

A bucket keeps keys and bytes: no folders, links, modes or times.  An object is put in one piece;
one too large for memory is gathered in a temporary file and put from a map of it.
"""

import contextlib
import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from roost.blob.store import BlobInfo, BlobNotFound, BlobStore, key_problem
from roost.errors import CorruptRecord, Unsupported
from roost.sizes import MIB
from roost.volume.sync.endpoint import BUCKET, Abilities
from roost.volume.sync.items import Item, Kind, is_ours, name_of, order
from roost.volume.sync.location import Location

MEMORY_BYTES_MAX = 16 * MIB
"""A larger object waits in a temporary file while it is gathered."""


class Bucket:
    """`Endpoint` over the objects of a store."""

    def __init__(self, store: BlobStore, root: Location | None = None) -> None:
        """`root`: where the store's keys begin; its name may be another bucket elsewhere."""
        self._store = store
        self._root = root or Location(f"store {id(store)}")

    @property
    def name(self) -> str:
        """As in Endpoint."""
        return self._store.name

    @property
    def abilities(self) -> Abilities:
        """As in Endpoint."""
        return BUCKET

    def location_of(self, key: str) -> Location:
        """As in Endpoint; a bucket has no links."""
        below = tuple(part for part in key.split("/") if part)
        return replace(self._root, parts=(*self._root.parts, *below))

    def is_there(self) -> bool:
        """True: a bucket that is not there fails when it is listed."""
        return True

    def demand_there(self) -> None:
        """Nothing, as `is_there`."""

    def demand_same(self) -> None:
        """Nothing, as `is_there`."""

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        """As in Endpoint."""
        begin = order(start)
        for info in self._store.list(prefix):
            if info.key.endswith("/"):
                continue  # what some tools put in place of a folder
            problem = key_problem(info.key)
            if problem is not None:  # such a key could lead out of a directory
                raise CorruptRecord(f"{self.name}{info.key!r}", f"the object's name {problem}")
            if order(info.key) >= begin and not is_ours(name_of(info.key)):
                yield _item(info)

    def head(self, key: str, *, follow: bool) -> Item | None:
        """As in Endpoint."""
        if key.endswith("/"):
            return None
        try:
            return _item(self._store.head(key))
        except BlobNotFound:
            return None

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator["_Reader"]:
        """As in Endpoint."""
        yield _Reader(self._store, key)

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        """As in Endpoint."""
        gathered: list[bytes] = []
        size_bytes = 0
        for piece in pieces:
            gathered.append(piece)
            size_bytes += len(piece)
            if size_bytes > MEMORY_BYTES_MAX:
                self._put_large(item.key, chain(gathered, pieces))
                return
        self._store.put(item.key, b"".join(gathered))

    def make_folder(self, key: str) -> None:
        """Nothing: a bucket has no folders."""

    def make_link(self, key: str, target: str) -> None:
        """Raise Unsupported."""
        raise Unsupported(f"{key}: a bucket keeps no symbolic links")

    def set_mode(self, item: Item) -> None:
        """Nothing: a bucket keeps no modes."""

    def set_time(self, key: str, mtime_ns: int) -> None:
        """Nothing: a bucket keeps the time of the upload."""

    def delete(self, key: str) -> None:
        """As in Endpoint."""
        self._store.delete(key)

    def read_note(self, name: str) -> bytes | None:
        """As in Endpoint."""
        try:
            return bytes(self._store.get(name))
        except BlobNotFound:
            return None

    def write_note(self, name: str, data: bytes) -> None:
        """As in Endpoint."""
        self._store.put(name, data)

    def close(self) -> None:
        """As in Endpoint."""

    def _put_large(self, key: str, pieces: Iterator[bytes]) -> None:
        with tempfile.TemporaryFile() as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self._store.put(key, data)


class _Reader:
    def __init__(self, store: BlobStore, key: str) -> None:
        self._store = store
        self._key = key

    def read(self, offset: int, size_bytes: int) -> bytes:
        """As in Source."""
        return bytes(self._store.get_range(self._key, offset, size_bytes))


def _item(info: BlobInfo) -> Item:
    return Item(info.key, Kind.FILE, info.size_bytes, info.mtime_ns)
