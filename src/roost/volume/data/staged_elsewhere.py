"""Blocks that clients of this host have staged and the store does not have yet, to read only."""

from pathlib import Path

from typing_extensions import Buffer

from roost.blob.directory import DirectoryStore
from roost.errors import RoostError
from roost.volume.data import checksums
from roost.volume.data.blocks import BlockRef, Blocks


class StagedElsewhere:
    """Looks into the staging folders of all clients of this host.  Holds no state."""

    def __init__(self, folder: Path, volume_uuid: str, blocks: Blocks) -> None:
        """Look below `folder`, which need not exist."""
        self._uuid = volume_uuid
        self._root = folder / f"roost-{volume_uuid}" / "staging"
        self._blocks = blocks

    @property
    def name(self) -> str:
        """The folder, for messages."""
        return str(self._root)

    @property
    def has_owners(self) -> bool:
        """True if some client staged blocks there and did not tidy up."""
        return any(self._root.glob("*.lock"))

    def get(self, ref: BlockRef) -> Buffer | None:
        """Return the block if this very client keeps it for the store."""
        del ref
        return None

    def find_foreign(self, ref: BlockRef) -> Buffer | None:
        """Return the block if another client of this host keeps it for the store."""
        key = self._blocks.key(ref)
        for lock in self._root.glob("*.lock"):
            data = self._read(self._store_of(lock.stem), key, ref)
            if data is not None:
                return data
        return None

    def hint(self, ref: BlockRef) -> str:
        """Return why the store may not have the block, or nothing."""
        del ref
        return ""

    def _read(self, folder: DirectoryStore, key: str, ref: BlockRef) -> Buffer | None:
        """Return the staged block if it is there and sound."""
        try:
            stored = memoryview(folder.get(key))
        except RoostError:
            return None
        data, tail = stored[: ref.size_bytes], stored[ref.size_bytes :]
        sound = checksums.is_sound(f"{self._uuid}/{key}", ref.size_bytes, bytes(tail), data)
        return data if sound else None

    def _store_of(self, owner: str) -> DirectoryStore:
        return DirectoryStore(self._root / owner, makes_root=True)
