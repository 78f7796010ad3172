"""Blocks as objects: names, and damage that names the object."""

from collections.abc import Callable

import pytest
from typing_extensions import Buffer

from roost.blob.memory import MemoryStore
from roost.blob.prefix import PrefixStore
from roost.errors import CorruptRecord, MissingBlock
from roost.volume.data.blocks import BlockRef, Blocks
from roost.volume.data.compress import compression_named
from roost.volume.model import SliceId


def blocks(compression: str = "none", *, hash_prefix: bool = False) -> Blocks:
    store = PrefixStore(MemoryStore(), "vol/")
    return Blocks(store, compression_named(compression), 1 << 16, hash_prefix=hash_prefix)


def test_a_slice_is_cut_into_blocks_and_the_last_is_shorter() -> None:
    refs = blocks().refs(SliceId(7), 150_000)
    assert [(ref.block_no, ref.size_bytes) for ref in refs] == [(0, 65536), (1, 65536), (2, 18928)]


@pytest.mark.parametrize(
    ("hash_prefix", "key"), [(False, "chunks/0/4/4097_1_10"), (True, "chunks/01/0/4097_1_10")]
)
def test_the_object_is_named_as_juicefs_names_it(hash_prefix: bool, key: str) -> None:
    made = blocks(hash_prefix=hash_prefix)
    made.put(BlockRef(SliceId(4097), 1, 10), b"0123456789")
    assert made.store.get(key) == b"0123456789"


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_missing_block_is_damage_that_names_the_object(compression: str) -> None:
    made = blocks(compression)
    with pytest.raises(MissingBlock, match="mem://vol/chunks/0/0/1_0_5"):
        made.get(BlockRef(SliceId(1), 0, 5))
    if compression == "none":
        with pytest.raises(MissingBlock, match="chunks/0/0/1_0_5"):
            made.get_range(BlockRef(SliceId(1), 0, 5), 1, 2)


@pytest.mark.parametrize("stored", [b"", b"0123", b"012345"])
def test_a_cut_or_grown_block_is_damage_and_never_zeros(stored: bytes) -> None:
    made = blocks()
    made.store.put("chunks/0/0/1_0_5", stored)
    with pytest.raises(CorruptRecord, match="chunks/0/0/1_0_5"):
        made.get(BlockRef(SliceId(1), 0, 5))


def test_a_range_beyond_a_cut_block_is_damage() -> None:
    made = blocks()
    made.store.put("chunks/0/0/1_0_5", b"012")
    assert made.get_range(BlockRef(SliceId(1), 0, 5), 0, 3) == b"012"
    with pytest.raises(CorruptRecord, match="chunks/0/0/1_0_5"):
        made.get_range(BlockRef(SliceId(1), 0, 5), 2, 3)


class ShortStore(MemoryStore):
    """Gives `short` answers without their last byte, then right ones."""

    short = 0
    asked = 0

    def get(self, key: str) -> bytes:
        return self._cut(super().get(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        return self._cut(super().get_range(key, offset, size_bytes))

    def _cut(self, data: bytes) -> bytes:
        self.asked += 1
        self.short -= 1
        return data[:-1] if self.short >= 0 else data


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_one_short_answer_is_not_damage_and_two_are(compression: str) -> None:
    store, ref = ShortStore(), BlockRef(SliceId(1), 0, 5)
    made = Blocks(store, compression_named(compression), 1 << 16)
    made.put(ref, b"01234")
    reads: list[tuple[Callable[[], Buffer], bytes]] = [(lambda: made.get(ref), b"01234")]
    if compression == "none":
        reads.append((lambda: made.get_range(ref, 1, 3), b"123"))
    for read, right in reads:
        store.short, store.asked = 1, 0
        assert bytes(read()) == right
        assert store.asked == 2
        store.short, store.asked = 1000, 0
        with pytest.raises(CorruptRecord, match="chunks/0/0/1_0_5"):
            read()
        assert store.asked == 2


def test_delete_removes_all_blocks_of_a_slice_and_no_other() -> None:
    made = blocks()
    for slice_id in (1, 2):
        for ref in made.refs(SliceId(slice_id), 100_000):
            made.put(ref, bytes(ref.size_bytes))
    made.delete(SliceId(1), 100_000)
    made.delete(SliceId(1), 100_000)
    assert [info.key for info in made.store.list()] == [
        "chunks/0/0/2_0_65536",
        "chunks/0/0/2_1_34464",
    ]
