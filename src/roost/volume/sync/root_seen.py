"""The root of a tree, watched: another folder in its place is not it."""

from collections.abc import Callable, Hashable

from roost.errors import NotFound
from roost.volume.sync.endpoint import Vanished


class RootSeen:
    """The identity that a root had when it was first found.  Safe to call from several threads."""

    def __init__(self, look: Callable[[], Hashable | None]) -> None:
        """`look` returns the identity of what is the root now, None if there is none."""
        self._look = look
        self._seen: Hashable | None = None

    def is_there(self) -> bool:
        """True if the root is there; from then on another one does not count."""
        found = self._look()
        if found is None:
            return False
        self._seen = self._seen or found
        return found == self._seen

    def demand(self, name: str) -> None:
        """Raise Vanished if the root was seen and is gone: what is absent now may be there yet.

        An empty folder in its place is what a disk that was unmounted leaves behind.
        """
        if self._seen is not None and not self.is_there():
            raise Vanished(name)

    def demand_there(self, name: str) -> None:
        """Raise Vanished as `demand`, NotFound if there was no root at all."""
        self.demand(name)
        if not self.is_there():
            raise NotFound(f"{name}: no such folder")
