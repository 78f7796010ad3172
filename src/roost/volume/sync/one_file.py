"""One file as a side of a sync: SRC and DST without a last "/"."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from roost.errors import NotFound
from roost.volume.sync.endpoint import Abilities, Endpoint, Source
from roost.volume.sync.items import Item
from roost.volume.sync.location import Location


class OneFile:
    """`Endpoint` with one key, `shown`, which is the file `inner_key` of `inner`."""

    def __init__(self, inner: Endpoint, inner_key: str, shown: str) -> None:
        self._inner = inner
        self._key = inner_key
        self._shown = shown

    @property
    def name(self) -> str:
        """As in Endpoint."""
        return f"{self._inner.name}{self._key}"

    @property
    def abilities(self) -> Abilities:
        """As in Endpoint."""
        return self._inner.abilities

    def location_of(self, key: str) -> Location:
        """As in Endpoint; the root is the file."""
        return self._inner.location_of(self._key)

    def is_there(self) -> bool:
        """As in Endpoint; the file itself, in the folder that it was in."""
        return self._inner.is_there() and self.head(self._shown, follow=False) is not None

    def demand_there(self) -> None:
        """As in Endpoint."""
        self._inner.demand_there()
        if self.head(self._shown, follow=False) is None:
            raise NotFound(f"{self.name}: no such file, or it was removed meanwhile")

    def demand_same(self) -> None:
        """As in Endpoint; of the folder that the file is in."""
        self._inner.demand_same()

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        """As in Endpoint."""
        item = self.head(self._shown, follow=follow)
        if item is not None:
            yield item

    def head(self, key: str, *, follow: bool) -> Item | None:
        """As in Endpoint."""
        item = self._inner.head(self._key, follow=follow)
        return None if item is None or item.is_folder else replace(item, key=self._shown)

    def open(self, key: str) -> AbstractContextManager[Source]:
        """As in Endpoint."""
        return self._inner.open(self._key)

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        """As in Endpoint."""
        self._inner.write(replace(item, key=self._key), pieces, draft)

    def make_folder(self, key: str) -> None:
        """As in Endpoint; the only one is that which the file is in."""
        self._inner.make_folder("")

    def make_link(self, key: str, target: str) -> None:
        """As in Endpoint."""
        self._inner.make_link(self._key, target)

    def set_mode(self, item: Item) -> None:
        """As in Endpoint."""
        self._inner.set_mode(replace(item, key=self._key))

    def set_time(self, key: str, mtime_ns: int) -> None:
        """As in Endpoint."""
        self._inner.set_time(self._key, mtime_ns)

    def delete(self, key: str) -> None:
        """As in Endpoint."""
        self._inner.delete(self._key if key == self._shown else key)

    def read_note(self, name: str) -> bytes | None:
        """As in Endpoint; it lies beside the file."""
        return self._inner.read_note(name)

    def write_note(self, name: str, data: bytes) -> None:
        """As in Endpoint; it lies beside the file."""
        self._inner.write_note(name, data)

    def close(self) -> None:
        """As in Endpoint."""
        self._inner.close()
