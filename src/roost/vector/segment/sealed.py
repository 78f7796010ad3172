"""A sealed segment, open: its files mapped, each when it is first needed."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from roost.vector.files import Files
from roost.vector.manifest import SegmentEntry
from roost.vector.schema import CollectionSchema


def vector_path(folder: str, field_id: int) -> str:
    """Return the file of one vector field in a segment's folder, as in `Files`."""
    return f"{folder}/vector-{field_id}"


def open_vectors(local: Path, where: str) -> npt.NDArray[np.float32]:
    """Return the vectors (n, dim) of a local vector file, memory-mapped and read-only.

    For index builds in other processes: `open_vectors(files.open_local(path), path)`.
    Raises CorruptRecord, NewerFormat naming `where`.
    """
    raise NotImplementedError


class SealedSegment:
    """One sealed segment.  Thread-safe."""

    @staticmethod
    def open(files: Files, entry: SegmentEntry, schema: CollectionSchema) -> "SealedSegment":
        """Open it; the other files are mapped at first use.  Raises NotFound, Damage."""
        raise NotImplementedError

    def vectors(self, field_id: int) -> npt.NDArray[np.float32]:
        """Return (rows, dim) float32, memory-mapped and read-only."""
        raise NotImplementedError

    def verify(self) -> None:
        """Read every byte against its checksum.  Raises CorruptRecord, NewerFormat."""
        raise NotImplementedError
