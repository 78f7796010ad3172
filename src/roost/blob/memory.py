"""Objects in memory: the reference that the other stores are compared with.

Lock order: one lock, never held while another is taken.
"""

import threading
from collections.abc import Iterator

from typing_extensions import Buffer

from roost.blob.store import BlobExists, BlobInfo, BlobNotFound, check_key
from roost.clock import Clock, SystemClock


class MemoryStore:
    """`BlobStore` in this process's memory; gone with the process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, int]] = {}

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return "mem://"

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        check_key(key)
        with self._lock:
            self._objects[key] = (bytes(data), self._clock.wall_ns())

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        check_key(key)
        with self._lock:
            if key in self._objects:
                raise BlobExists(key)
            self._objects[key] = (bytes(data), self._clock.wall_ns())

    def get(self, key: str) -> bytes:
        """As in BlobStore."""
        return self._object(key)[0]

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        """As in BlobStore."""
        return self._object(key)[0][offset : offset + size_bytes]

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        data, mtime_ns = self._object(key)
        return BlobInfo(key, len(data), mtime_ns)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        with self._lock:
            found = [
                BlobInfo(key, len(data), mtime_ns)
                for key, (data, mtime_ns) in self._objects.items()
                if key.startswith(prefix)
            ]
        yield from sorted(found, key=lambda info: info.key)

    def _object(self, key: str) -> tuple[bytes, int]:
        check_key(key)
        with self._lock:
            try:
                return self._objects[key]
            except KeyError:
                raise BlobNotFound(key) from None
