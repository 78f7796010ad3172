"""Every store against the one suite."""

from pathlib import Path

import pytest

from roost.blob.directory import DirectoryStore
from roost.blob.memory import MemoryStore
from roost.blob.prefix import PrefixStore
from roost.blob.sharded import ShardedStore
from roost.blob.store import BlobStore
from roost.testing.blob_suite import BlobStoreSuite
from roost.testing.faulty_store import FaultyStore


class TestMemoryStore(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        return MemoryStore()


class TestDirectoryStore(BlobStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return DirectoryStore(tmp_path / "not" / "yet" / "there", makes_root=True)


class TestPrefixStore(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        inner = MemoryStore()
        inner.put("photo/outside", b"never seen")
        inner.put("photos2/outside", b"never seen")
        return PrefixStore(inner, "photos/")


class TestShardedStore(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        return ShardedStore([MemoryStore(), MemoryStore(), MemoryStore()])


class TestFaultyStore(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> BlobStore:
        return FaultyStore(MemoryStore())
