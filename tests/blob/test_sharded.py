"""The choice of the shard is JuiceFS's."""

from roost.blob.memory import MemoryStore
from roost.blob.sharded import ShardedStore, shard_of


def test_the_shard_is_fnv_1a_of_the_key() -> None:
    # Published FNV-1a test vectors: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
    assert shard_of("a", 1 << 32) == 0xE40C292C
    assert shard_of("foobar", 1 << 32) == 0xBF9CF968
    assert shard_of("foobar", 3) == 0xBF9CF968 % 3


def test_an_object_lies_in_its_shard_only() -> None:
    inner = [MemoryStore() for _ in range(4)]
    store = ShardedStore(inner)
    keys = [f"vol/chunks/0/0/{n}_0_5" for n in range(40)]
    for key in keys:
        store.put(key, b"x")
    for key in keys:
        holders = [n for n, shard in enumerate(inner) if list(shard.list(key))]
        assert holders == [shard_of(key, 4)]
    assert all(list(shard.list()) for shard in inner)
