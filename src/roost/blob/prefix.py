"""A store that lives under a prefix of another one."""

from collections.abc import Iterator
from dataclasses import replace

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore, check_key


class PrefixStore:
    """`BlobStore` whose keys are those of `inner` that begin with `prefix` ("photos/")."""

    def __init__(self, inner: BlobStore, prefix: str) -> None:
        assert prefix.endswith("/"), prefix
        self._inner = inner
        self._prefix = prefix

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return f"{self._inner.name}{self._prefix}"

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put(self._full(key), data)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put_if_absent(self._full(key), data)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        return self._inner.get(self._full(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        return self._inner.get_range(self._full(key), offset, size_bytes)

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return replace(self._inner.head(self._full(key)), key=key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._inner.delete(self._full(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        cut = len(self._prefix)
        for info in self._inner.list(self._prefix + prefix):
            yield BlobInfo(info.key[cut:], info.size_bytes, info.mtime_ns)

    def _full(self, key: str) -> str:
        check_key(key)
        return self._prefix + key
