"""Back-pressure, order and bounds of what waits for a flush."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roost.errors import RoostError, Unavailable
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES
from roost.volume.vfs.core import UPLOADS_WAITING_MAX
from roost.volume.vfs.writer import SLICES_WAITING_MAX

BLOCK = 64 << 10


@pytest.fixture
def client(volume: TestVolume) -> VolumeClient:
    return volume.open()


def test_full_blocks_go_up_before_any_sync(volume: TestVolume, client: VolumeClient) -> None:
    with client.open_file("/a", "x") as file:
        file.append(b"x" * (3 * BLOCK + 10))
        client.core.uploads.submit(lambda: None).result()
        for _ in range(200):
            if volume.store.calls["put"] == 3:
                break
            client.core.uploads.submit(lambda: None).result()
        assert volume.store.calls["put"] == 3
        file.fsync()
        assert volume.store.calls["put"] == 4


def test_a_writer_waits_when_the_store_is_slow(volume: TestVolume, client: VolumeClient) -> None:
    go_on = threading.Event()
    volume.store.before_call = lambda verb, _key: (verb != "put" or go_on.wait(30)) and None
    bound = client.core.data.upload_threads + UPLOADS_WAITING_MAX
    written = 0

    def write() -> None:
        nonlocal written
        with client.open_file("/a", "x") as file:
            for _ in range(bound + 5):
                file.append(b"x" * BLOCK)
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.5)
    assert writer.is_alive()
    assert written == bound, "one more block waits outside the queue"
    go_on.set()
    writer.join(30)
    assert written == bound + 5
    assert client.stat("/a").length == (bound + 5) * BLOCK


def test_scattered_writes_are_committed_before_too_many_wait(client: VolumeClient) -> None:
    with client.open_file("/a", "x") as file:
        for n in range(SLICES_WAITING_MAX):
            file.pwrite(n * 1000, b"x")
        for n in range(SLICES_WAITING_MAX, SLICES_WAITING_MAX + 2):
            file.pwrite(n * 1000, b"x")
        assert client.meta.getattr(client.meta.resolve("/a").ino).length > 0


def test_a_write_across_a_chunk_is_two_slices_of_one_file(client: VolumeClient) -> None:
    with client.open_file("/a", "x") as file:
        file.pwrite(CHUNK_BYTES - 3, b"abcdef")
    ino = client.node("/a").ino
    first, second = (client.meta.read_chunk(ino, n) for n in (0, 1))
    assert (first[0].pos, first[0].length) == (CHUNK_BYTES - 3, 3)
    assert (second[0].pos, second[0].length) == (0, 3)
    assert client.read("/a", CHUNK_BYTES - 3) == b"abcdef"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeClient]:
    volume = make_test_volume(tmp_path_factory.mktemp("writer"))
    yield volume.open()
    volume.finish()


@given(
    writes=st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 30), st.booleans()), min_size=1, max_size=12
    )
)
@example(writes=[(0, 10, False), (20, 10, False), (5, 20, False)])
@settings(max_examples=40, deadline=None)
def test_the_later_of_two_writes_wins_however_they_are_joined(
    shared: VolumeClient, writes: list[tuple[int, int, bool]]
) -> None:
    model = b""
    with shared.open_file("/joined", "w+") as file:
        for number, (start, length, sync) in enumerate(writes):
            data = bytes([number + 1]) * length
            file.pwrite(start, data)
            model = model[:start].ljust(start, b"\0") + data + model[start + length :]
            if sync:
                file.fsync()
        assert file.pread(0) == model


def test_threads_that_append_through_one_handle_lose_nothing(client: VolumeClient) -> None:
    with client.open_file("/log", "x") as log:

        def append(n: int) -> None:
            for _ in range(50):
                log.append(b"%d" % n * 10)
                if n == 0:
                    log.fsync()

        threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    data = client.read("/log")
    assert len(data) == 4 * 50 * 10
    records = [data[start : start + 10] for start in range(0, len(data), 10)]
    assert {record: records.count(record) for record in set(records)} == {
        b"%d" % n * 10: 50 for n in range(4)
    }


def test_one_file_never_waits_for_memory_that_it_holds_itself(volume: TestVolume) -> None:
    """Each write opens a block of another chunk: more than the buffer holds."""
    client = volume.open(data=DataSettings(buffer_size_bytes=2 * BLOCK))
    with client.open_file("/a", "x") as file:
        for number in range(10):
            file.pwrite(number * CHUNK_BYTES, b"%d" % number * (BLOCK - 1))
    for number in range(10):
        assert client.read("/a", number * CHUNK_BYTES, 1) == b"%d" % number


def test_nothing_lies_before_the_start_of_a_file(client: VolumeClient) -> None:
    client.write("/a", b"hello")
    with client.open_file("/a", "r+") as file:
        for call in (
            lambda: file.pwrite(-3, b"abc"),
            lambda: file.pread(-3, 3),
            lambda: file.pread(0, -1),
            lambda: file.preadinto(-3, bytearray(3)),
            lambda: file.seek(-1),
        ):
            with pytest.raises(FsError, match="Invalid argument"):
                call()
        file.fsync()
    assert client.read("/a") == b"hello"


def test_a_block_that_ends_tells_one_failure_once(volume: TestVolume) -> None:
    """The error under way is what the close would only repeat; another one it tells itself."""
    client = volume.open()

    def refuse(verb: str, _key: str) -> None:
        if verb == "put":
            raise Unavailable("the store is away")

    volume.store.before_call = refuse
    told: list[RoostError] = []

    def sync_in_a_block() -> None:
        with client.open_file("/a", "w") as file:
            file.write(b"x")
            try:
                file.fsync()
            except RoostError as error:
                told.append(error)
                raise

    def fail_otherwise() -> None:
        with client.open_file("/b", "w") as file:
            file.write(b"x")
            raise KeyError("of the block")

    with pytest.raises(Unavailable) as caught:
        sync_in_a_block()
    assert told == [caught.value]
    with pytest.raises(Unavailable, match="away") as caught:
        fail_otherwise()
    assert isinstance(caught.value.__context__, KeyError)
