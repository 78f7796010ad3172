"""What every object store must do.  Subclass `BlobStoreSuite` and give it a `store` fixture."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.blob.store import BlobExists, BlobNotFound, BlobStore
from roost.errors import InvalidArgument, Unsupported

BAD_KEYS = ["", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a\0b", "x" * 256, "\ud800", "y/" * 600]

_WORDS = st.sampled_from(["a", "b", "a.b", "a-b", "chunks", "0", "1_0_5"])
_KEYS = st.lists(_WORDS, min_size=1, max_size=3).map("/".join)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "absent", "delete"]), _KEYS, st.binary(max_size=40)),
    max_size=25,
)


class BlobStoreSuite:
    """Conformance of a `BlobStore`.

    Set `is_conditional` to False for a store that cannot keep what is there: its `put_if_absent`
    must then refuse and change nothing.  Set `orders_folders` to True for a server that sorts by
    the parts of names: its listing must be refused as soon as the order matters.  `overhead_bytes`
    is what a stored object has beyond its data.
    """

    is_conditional = True
    orders_folders = False
    overhead_bytes = 0

    def _demand_conditional(self) -> None:
        if not self.is_conditional:
            pytest.skip("the store cannot do it; the refusal has a test of its own")

    def test_a_store_that_cannot_keep_what_is_there_refuses(self, store: BlobStore) -> None:
        if self.is_conditional:
            store.put_if_absent("a", b"first")
            return
        store.put("a", b"first")
        for key in ("a", "new"):
            with pytest.raises(Unsupported):
                store.put_if_absent(key, b"second")
        assert store.get("a") == b"first"
        assert [info.key for info in store.list()] == ["a"]

    def test_an_object_is_read_back_whole_and_in_ranges(self, store: BlobStore) -> None:
        store.put("a/b", b"0123456789")
        assert store.get("a/b") == b"0123456789"
        assert store.get_range("a/b", 2, 3) == b"234"
        assert store.get_range("a/b", 8, 10) == b"89"
        assert store.get_range("a/b", 0, 10) == store.get_range("a/b", 0, 11) == b"0123456789"
        assert store.get_range("a/b", 20, 10) == store.get_range("a/b", 10, 1) == b""
        assert store.head("a/b").size_bytes == 10 + self.overhead_bytes
        assert store.head("a/b").key == "a/b"

    def test_an_empty_object_is_an_object(self, store: BlobStore) -> None:
        store.put("empty", b"")
        assert store.get("empty") == b""
        assert store.get_range("empty", 0, 10) == b""
        assert [info.key for info in store.list()] == ["empty"]

    def test_any_buffer_can_be_stored(self, store: BlobStore) -> None:
        store.put("view", memoryview(bytearray(b"abcdef"))[1:4])
        assert store.get("view") == b"bcd"

    def test_put_replaces(self, store: BlobStore) -> None:
        store.put("a", b"long old content")
        store.put("a", b"new")
        assert store.get("a") == b"new"

    def test_put_if_absent_never_replaces(self, store: BlobStore) -> None:
        self._demand_conditional()
        store.put_if_absent("a", b"first")
        with pytest.raises(BlobExists):
            store.put_if_absent("a", b"second")
        assert store.get("a") == b"first"
        assert [info.key for info in store.list()] == ["a"]

    def test_of_many_put_if_absent_one_wins(self, store: BlobStore) -> None:
        self._demand_conditional()
        won: list[bytes] = []

        def put(data: bytes) -> None:
            try:
                store.put_if_absent("lease", data)
            except BlobExists:
                return
            won.append(data)

        threads = [threading.Thread(target=put, args=(b"%d" % n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [store.get("lease")]

    def test_what_is_not_there_is_not_found(self, store: BlobStore) -> None:
        store.put("there/x", b"x")
        for key in ("no", "there/y", "there/x/below", "there"):
            with pytest.raises(BlobNotFound):
                store.get(key)
            with pytest.raises(BlobNotFound):
                store.get_range(key, 0, 1)
            with pytest.raises(BlobNotFound):
                store.head(key)
            store.delete(key)
        assert store.get("there/x") == b"x"

    def test_delete_removes(self, store: BlobStore) -> None:
        store.put("a", b"x")
        store.delete("a")
        with pytest.raises(BlobNotFound):
            store.get("a")
        assert list(store.list()) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_key_that_is_none_is_refused_by_every_verb(self, store: BlobStore, key: str) -> None:
        with pytest.raises(InvalidArgument):
            store.put(key, b"x")
        with pytest.raises(InvalidArgument):
            store.put_if_absent(key, b"x")
        with pytest.raises(InvalidArgument):
            store.get(key)
        with pytest.raises(InvalidArgument):
            store.get_range(key, 0, 1)
        with pytest.raises(InvalidArgument):
            store.head(key)
        with pytest.raises(InvalidArgument):
            store.delete(key)

    def test_list_is_in_order_of_whole_keys(self, store: BlobStore) -> None:
        keys = ["a/x", "a-b", "a0", "a/y/z", "b", "a.c/d"]
        for key in keys:
            store.put(key, key.encode())
        if self.orders_folders:
            with pytest.raises(Unsupported, match="order"):
                list(store.list())
            return
        assert [info.key for info in store.list()] == sorted(keys)
        assert [info.key for info in store.list("a/")] == ["a/x", "a/y/z"]
        assert [info.key for info in store.list("a")] == sorted(set(keys) - {"b"})
        assert [info.key for info in store.list("a/y")] == ["a/y/z"]
        assert [info.key for info in store.list("no/where")] == []
        assert {info.key: info.size_bytes for info in store.list("b")} == {
            "b": 1 + self.overhead_bytes
        }

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,  # a suite is inherited
        ],
    )
    @given(steps=_STEPS)
    def test_any_history_ends_like_a_dictionary(
        self, store: BlobStore, steps: list[tuple[str, str, bytes]]
    ) -> None:
        for info in list(store.list()):
            store.delete(info.key)
        model: dict[str, bytes] = {}
        for verb, words, data in steps:
            key = f"{words}.object"  # so that no key is another one's folder
            if self.orders_folders:
                key = key.replace("-", "_").replace(".", "_")
            if verb == "put":
                store.put(key, data)
                model[key] = data
            elif verb == "delete":
                store.delete(key)
                model.pop(key, None)
            elif not self.is_conditional:
                continue
            elif key in model:
                with pytest.raises(BlobExists):
                    store.put_if_absent(key, data)
            else:
                store.put_if_absent(key, data)
                model[key] = data
        assert [info.key for info in store.list()] == sorted(model)
        assert {key: store.get(key) for key in model} == model
