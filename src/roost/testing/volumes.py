"""Volumes for tests: small blocks, in a temporary folder, checked at the end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from roost.blob.store import BlobStore
from roost.clock import Clock
from roost.testing.faulty_store import FaultyStore
from roost.volume.check import CheckReport, check_volume
from roost.volume.client import VolumeClient, volume_store
from roost.volume.data.settings import DataSettings
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.api import open_meta
from roost.volume.settings import VolumeSettings

BLOCK_KIB = 64


@dataclass
class TestVolume:
    """A volume in `folder`; `store` counts and fails the calls of clients opened here."""

    __test__ = False  # pytest: not a class of tests

    folder: Path
    meta_url: str
    settings: VolumeSettings
    store: FaultyStore
    clients: list[VolumeClient] = field(default_factory=list)

    def open(
        self,
        *,
        read_only: bool = False,
        cache: str = "cache",
        clock: Clock | None = None,
        data: DataSettings | None = None,
    ) -> VolumeClient:
        """Open a client whose objects go through `store`; closed by `finish`."""
        meta = open_meta(self.meta_url, read_only=read_only, clock=clock)
        client = VolumeClient(
            meta, self.store, cache_dir=self.folder / cache, clock=clock, data=data
        )
        self.clients.append(client)
        return client

    def check(self, *, read_blocks: bool = True) -> CheckReport:
        """Check the volume with a client of its own."""
        with VolumeClient.open(
            self.meta_url, read_only=True, cache_dir=self.folder / "check"
        ) as client:
            return check_volume(client, read_blocks=read_blocks)

    def objects(self) -> list[str]:
        """Return the names of all block objects."""
        return [info.key for info in self.store.list("chunks/")]

    def finish(self) -> None:
        """Close all clients and demand that the volume is sound."""
        self.store.heal()
        for client in self.clients:
            client.close()
        report = self.check()
        assert report.is_clean, report


def make_test_volume(
    folder: Path, *, meta_url: str = "", compression: str = "none", trash_days: int = 0
) -> TestVolume:
    """Make a volume; the caller calls `finish`."""
    folder.mkdir(parents=True, exist_ok=True)
    url = meta_url or f"sqlite3://{folder}/meta.db"
    new = NewVolume(
        name="test-volume",
        bucket=str(folder / "objects"),
        block_kib=BLOCK_KIB,
        compression=compression,
        trash_days=trash_days,
    )
    settings = make_volume(url, new)
    store: BlobStore = volume_store(settings)
    return TestVolume(folder, url, settings, FaultyStore(store))


class WarningLog(logging.Handler):
    """Keeps what was logged at WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.messages.append(f"{record.name}: {record.getMessage()}")


@contextmanager
def no_warnings(expected: list[str] | None = None) -> Iterator[WarningLog]:
    """Fail if anything in roost logs a warning; messages containing one of `expected` are fine."""
    handler = WarningLog()
    root = logging.getLogger("roost")
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.WARNING)  # a command run before in this process may have turned it down
    try:
        yield handler
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    allowed = expected or []
    found = [text for text in handler.messages if not any(part in text for part in allowed)]
    assert not found, found
