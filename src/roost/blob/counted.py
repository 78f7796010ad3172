"""A store that counts the bytes going in and out, for the process's metrics."""

from collections.abc import Iterator

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore
from roost.telemetry.metrics import OBJECT_READ_BYTES, OBJECT_WRITTEN_BYTES


class CountedStore:
    """`BlobStore` that does what `inner` does, and counts."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._inner.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put(key, data)
        OBJECT_WRITTEN_BYTES.inc(memoryview(data).nbytes)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put_if_absent(key, data)
        OBJECT_WRITTEN_BYTES.inc(memoryview(data).nbytes)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        data = self._inner.get(key)
        OBJECT_READ_BYTES.inc(memoryview(data).nbytes)
        return data

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        data = self._inner.get_range(key, offset, size_bytes)
        OBJECT_READ_BYTES.inc(memoryview(data).nbytes)
        return data

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._inner.head(key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        return self._inner.list(prefix)
