"""Work on a volume whose every step is either acknowledged or the one under way."""

import os
from collections.abc import Callable

from roost.testing.in_flight import may_hold
from roost.testing.volumes import TestVolume
from roost.volume.client import VolumeClient

BLOCK = 64 << 10


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
