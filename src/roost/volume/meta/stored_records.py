"""Records as bytes, from engines that store JuiceFS's own; for tools that pass very many on."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from roost.volume.model import Ino


@runtime_checkable
class StoredScans(Protocol):
    """What an engine may offer besides Scans: records as `codec` writes them, not taken apart."""

    def stored_nodes_of(self, inos: Sequence[Ino]) -> list[bytes | None]:
        """Return the attribute record of each node, in the order asked."""
        ...

    def stored_first_chunks_of(self, inos: Sequence[Ino]) -> list[bytes]:
        """Return all slice records of each file's chunk 0; b"" for a chunk that has none."""
        ...
