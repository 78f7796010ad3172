"""The façade for asyncio."""

import asyncio
import threading
from pathlib import Path

import pytest

from roost.errors import Unavailable
from roost.testing.volumes import TestVolume
from roost.volume import AsyncVolume, Volume
from roost.volume.access import asynchronous
from roost.volume.access.asynchronous import ENTRIES_AT_ONCE


def test_files_are_written_and_read(volume: TestVolume, tmp_path: Path) -> None:
    async def main() -> None:
        where = {"cache_dir": tmp_path / "cache"}
        async with await AsyncVolume.open_volume(volume.meta_url, **where) as v:
            await v.makedirs("/a/b")
            async with await v.open("/a/f", "wb+") as file:
                assert await file.write(b"0123\n45\n") == 8
                assert await file.seek(1) == 1
                memory = bytearray(3)
                assert await file.readinto(memory) == 3
                assert memory == b"123"
                assert await file.tell() == 4
                assert await file.truncate(7) == 7
                await file.flush()
                await v.fsync("/a/f")
            async with await v.open("/a/f") as text:
                assert [line async for line in text] == ["0123\n", "45"]
            async with await v.open("/a/f") as text:
                assert await text.readline() == "0123\n"
                assert await text.read() == "45"
            assert await v.copy("/a/f", "/a/g") == 7
            await v.rename("/a/g", "/a/b/g")
            assert await v.listdir("/a") == ["b", "f"]
            assert (await v.stat("/a/f")).st_size == 7
            assert await v.glob("/a/**/g") == ["/a/b/g"]
            assert [f async for f, _, _ in v.walk("/a")] == ["/a", "/a/b"]
            assert await v.run(v.sync.read_bytes, "/a/b/g") == b"0123\n45"
            assert await v.rmtree("/a") == 4

    asyncio.run(main())


def test_many_calls_wait_for_few_threads(volume: TestVolume) -> None:
    running: list[int] = []
    most = 0
    lock = threading.Lock()
    gate = threading.Barrier(3, timeout=30)

    def call() -> None:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        gate.wait()
        with lock:
            running.pop()

    async def main() -> None:
        async with AsyncVolume(Volume.over(volume.open()), threads=3) as v:
            await asyncio.gather(*(v.run(call) for _ in range(12)))

    asyncio.run(main())
    assert most == 3


def test_a_listing_of_several_batches_is_complete(volume: TestVolume) -> None:
    count = ENTRIES_AT_ONCE + 10

    async def main() -> None:
        async with AsyncVolume(Volume.over(volume.open())) as v:
            await asyncio.gather(*(v.run(v.sync.touch, f"/{n:04}") for n in range(count)))
            names = [entry.name async for entry in v.scandir("/")]
            assert names == [f"{n:04}" for n in range(count)]

    asyncio.run(main())


def test_errors_reach_the_one_who_awaits(volume: TestVolume) -> None:
    async def main() -> None:
        async with AsyncVolume(Volume.over(volume.open())) as v:
            with pytest.raises(FileNotFoundError) as caught:
                await v.open("/no")
            assert caught.value.filename == "/no"

    asyncio.run(main())


def test_a_volume_whose_opening_was_cancelled_is_closed(
    volume: TestVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Volume] = []
    began, may_end = threading.Event(), threading.Event()

    def slow(*args: object, **named: object) -> Volume:
        began.set()
        assert may_end.wait(20)
        opened.append(Volume(*args, **named))  # type: ignore[arg-type]
        return opened[0]

    monkeypatch.setattr(asynchronous, "Volume", slow)

    async def main() -> None:
        opening = asyncio.create_task(
            AsyncVolume.open_volume(volume.meta_url, cache_dir=tmp_path / "cache")
        )
        await asyncio.to_thread(began.wait, 20)
        opening.cancel()
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())
    with pytest.raises(Unavailable):
        opened[0].exists("/")
