"""Every call of the store fails once, at every place: what was acknowledged is there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import Damage, Failure, StorageFull, Unavailable
from roost.testing.in_flight import may_hold
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings

BLOCK = 64 << 10
NTH_MAX = 200
MODES = {
    "plain": DataSettings(),
    "write-back": DataSettings(writeback=True),
    "small buffer": DataSettings(buffer_size_bytes=BLOCK, max_uploads=1),
}


@pytest.fixture
def expected_warnings() -> list[str]:
    return ["staged blocks wait", "left for clean-up", "until the volume is opened for writing"]


class Work:
    """Writes, appends, overwrites, replaces and removes, step by step.

    `done` is what was acknowledged; `doing` is the step under way, a path and what it is to hold.
    """

    def __init__(self, client: VolumeClient) -> None:
        self._client = client
        self.done: dict[str, bytes] = {}
        self.doing: tuple[str, bytes | None] | None = None

    def all(self) -> None:
        """Raises what the first step raises that fails."""
        client, first = self._client, os.urandom(2 * BLOCK + 7)
        self._step("/a", first, lambda: client.write("/a", first))
        self._log()
        with client.open_file("/a", "r+") as file:
            written = first[:100] + b"x" * BLOCK + first[100 + BLOCK :]
            self.doing = ("/a", written)
            file.pwrite(100, b"x" * BLOCK)
        self.done["/a"], self.doing = written, None
        self._step("/b", b"old", lambda: client.write("/b", b"old"))
        self._step(
            "/b", b"old" + written[:500], lambda: client.copy_file_range("/a", 0, "/b", 3, 500)
        )
        assert client.read("/a") == written
        self._step("/gone", first, lambda: client.write("/gone", first))
        for path in ("/gone", "/b"):
            self._step(path, None, lambda path=path: client.remove(path))  # type: ignore[misc]

    def check(self, client: VolumeClient) -> None:
        """All that was acknowledged is there; only of the step under way any part may be."""
        path, new = self.doing or ("", None)
        for name in {*self.done, *(f"/{entry}" for entry in client.listdir())}:
            found = client.read(name) if client.exists(name) else None
            old = self.done.get(name)
            if name == path:
                assert may_hold(found, old, new), f"{name}: neither before nor after"
            else:
                assert found == old, f"{name} is not what was acknowledged"

    def _log(self) -> None:
        self.doing = ("/log", b"")
        with self._client.open_file("/log", "a") as log:
            self.done["/log"] = b""
            for n in range(3):
                piece = bytes([n + 1]) * (BLOCK // 2)
                self.doing = ("/log", self.done["/log"] + piece)
                log.append(piece)
                log.fsync()
                self.done["/log"] += piece
        self.doing = None

    def _step(self, path: str, new: bytes | None, change: Callable[[], object]) -> None:
        self.doing = (path, new)
        change()
        if new is None:
            del self.done[path]
        else:
            self.done[path] = new
        self.doing = None


def check(volume: TestVolume, work: Work) -> None:
    """Check with a client of its own that sees what this host has staged."""
    with VolumeClient.open(
        volume.meta_url, read_only=True, cache_dir=volume.folder / "cache"
    ) as reader:
        work.check(reader)


def each_fault(
    tmp_path: Path, data: DataSettings, verb: str, error: Callable[[str], Failure], after: bool
) -> int:
    """Fail the n-th call of `verb` for all n; return how many places there were."""
    for nth in range(1, NTH_MAX):
        volume = make_test_volume(tmp_path / f"{verb}-{nth}")
        client = volume.open(data=data)
        client.core.compaction.close()
        volume.store.fail(verb, nth, after=after, error=error)
        work = Work(client)
        failed = False
        try:
            work.all()
        except Failure:
            failed = True
        try:
            client.close()
        except Failure:
            failed = True
        fired = volume.store.calls[verb] >= nth
        volume.store.heal()
        check(volume, work)
        volume.open(data=data).close()  # a replay, where there is write-back
        check(volume, work)
        volume.finish()
        if not fired:
            assert not failed
            return nth - 1
    raise AssertionError("the work never ends")


@pytest.mark.parametrize(
    ("mode", "verb"),
    [("plain", "put"), ("plain", "get"), ("plain", "delete"), ("write-back", "put")],
)
def test_every_call_may_fail(tmp_path: Path, mode: str, verb: str) -> None:
    assert each_fault(tmp_path, MODES[mode], verb, Unavailable, after=False) > 0


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verb", ["put", "get", "delete"])
@pytest.mark.parametrize("after", [False, True])
def test_every_call_may_fail_in_every_mode(
    tmp_path: Path, mode: str, verb: str, after: bool
) -> None:
    assert each_fault(tmp_path, MODES[mode], verb, Unavailable, after=after) > 0


def test_every_put_may_find_the_store_full(tmp_path: Path) -> None:
    assert each_fault(tmp_path, MODES["plain"], "put", StorageFull, after=False) > 5


@pytest.mark.long
def test_every_answer_of_a_put_may_be_lost(tmp_path: Path) -> None:
    assert each_fault(tmp_path, MODES["plain"], "put", Unavailable, after=True) > 5


def test_what_a_failed_write_stored_is_deleted_again(volume: TestVolume) -> None:
    client = volume.open()
    file = client.open_file("/a", "x")
    file.write(os.urandom(3 * BLOCK))
    volume.store.fail("put", 1)
    file.write(b"tail")
    with pytest.raises(Unavailable):
        file.fsync()
    file.discard()
    client.close()
    assert volume.objects() == []


def test_a_reader_is_told_of_a_failing_store_and_reads_on_later(volume: TestVolume) -> None:
    client = volume.open()
    data = os.urandom(5 * BLOCK)
    client.write("/a", data)
    for nth in range(1, 6):
        client.core.cache.forget()
        volume.store.fail("get", nth)
        try:
            assert client.read("/a") == data
        except Unavailable:
            pass
        except Damage as error:
            raise AssertionError("an unreachable store is no damage") from error
        volume.store.heal()
        assert client.read("/a") == data
