"""A volume as the tools open it: its engine and its blocks, without a session.

Tools read whole tables, or change many records at once, so they speak with the engine itself.
What they commit keeps the invariants that the rules in `volume/meta` keep.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from roost.blob.store import BlobStore
from roost.clock import Clock, SystemClock
from roost.volume.data.blocks import Blocks
from roost.volume.data.compress import compression_named
from roost.volume.meta.opening import open_engine, read_settings
from roost.volume.meta.txn import Engine
from roost.volume.settings import VolumeSettings, open_secrets
from roost.volume.storage import volume_store


@dataclass(frozen=True, slots=True)
class OpenedVolume:
    """What a tool works on.  `settings` have their secrets in plain text."""

    engine: Engine
    settings: VolumeSettings
    blocks: Blocks
    clock: Clock

    @property
    def store(self) -> BlobStore:
        """The volume's objects, below its name."""
        return self.blocks.store

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.clock.wall_ns() // 1_000_000_000


def blocks_of(settings: VolumeSettings, store: BlobStore) -> Blocks:
    """Return the blocks of a volume over `store`."""
    return Blocks(
        store,
        compression_named(settings.compression),
        settings.block_bytes,
        hash_prefix=settings.hash_prefix,
    )


@contextmanager
def opened(
    meta_url: str,
    *,
    read_only: bool,
    store: BlobStore | None = None,
    clock: Clock | None = None,
) -> Iterator[OpenedVolume]:
    """Open the volume at `meta_url` for a tool; `store` stands in for its objects in tests.

    Raises NotFormatted, NewerFormat, Unsupported, Unavailable, InvalidArgument.
    """
    known = clock or SystemClock()
    engine = open_engine(meta_url, known, read_only=read_only)
    try:
        settings = open_secrets(read_settings(engine, meta_url, read_only=read_only))
        objects = volume_store(settings) if store is None else store
        yield OpenedVolume(engine, settings, blocks_of(settings, objects), known)
    finally:
        engine.close()
