"""One store spread over several buckets, as JuiceFS's `--shards` does it.

The bucket of an object is FNV-1a (32 bits) of its full key, modulo the number of buckets.
Source: juicefs pkg/object/sharding.go.
"""

import heapq
from collections.abc import Iterator, Sequence

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore, check_key

_FNV_START = 0x811C9DC5
_FNV_PRIME = 0x01000193


def shard_of(key: str, shards: int) -> int:
    """Return which of `shards` buckets holds `key` (the full key, volume name included)."""
    digest = _FNV_START
    for byte in key.encode():
        digest = (digest ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return digest % shards


class ShardedStore:
    """`BlobStore` over at least two others."""

    def __init__(self, stores: Sequence[BlobStore]) -> None:
        assert len(stores) > 1, len(stores)
        self._stores = tuple(stores)

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return f"{len(self._stores)} shards, the first {self._stores[0].name}"

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._shard(key).put(key, data)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._shard(key).put_if_absent(key, data)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        return self._shard(key).get(key)

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        return self._shard(key).get_range(key, offset, size_bytes)

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._shard(key).head(key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._shard(key).delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        yield from heapq.merge(
            *(store.list(prefix) for store in self._stores), key=lambda info: info.key
        )

    def _shard(self, key: str) -> BlobStore:
        check_key(key)
        return self._stores[shard_of(key, len(self._stores))]
