"""The store of an open volume, which follows the settings: keys, limits and bucket may change.

The heartbeat reads the settings again; the next call after a change goes to a new store.  Calls
that run keep the old one.  Settings that cannot be opened leave the old store in force.

Invariant: `_current` is the store of the settings `_seen`, or of older ones that could be opened.
Lock order: `_lock` is held while a store is made, and nothing else is taken under it.
"""

import logging
import threading
from collections.abc import Callable, Iterator

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore
from roost.errors import RoostError
from roost.volume.settings import VolumeSettings
from roost.volume.storage import place_of, volume_store

log = logging.getLogger(__name__)


class FollowingStore:
    """`BlobStore` of whatever `settings()` says now."""

    def __init__(
        self,
        settings: Callable[[], VolumeSettings],
        open_store: Callable[[VolumeSettings], BlobStore] = volume_store,
    ) -> None:
        """Raises what `open_store` raises for the settings of now."""
        self._settings = settings
        self._open = open_store
        self._lock = threading.Lock()
        self._seen = settings()
        self._current = open_store(self._seen)

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._current.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._store().put(key, data)

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._store().put_if_absent(key, data)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        return self._store().get(key)

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        return self._store().get_range(key, offset, size_bytes)

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._store().head(key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._store().delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        return self._store().list(prefix)

    def _store(self) -> BlobStore:
        now = self._settings()
        if now is self._seen:
            return self._current
        with self._lock:
            if now is not self._seen and now != self._seen:
                self._follow(now)
            self._seen = now
            return self._current

    def _follow(self, now: VolumeSettings) -> None:
        try:
            if place_of(now) != place_of(self._seen):
                self._current = self._open(now)
                log.info("the volume's storage changed: %s", self._current.name)
        except RoostError as error:
            log.warning("the volume's new storage cannot be used, the old one stays: %s", error)
