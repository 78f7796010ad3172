"""A version of a collection: which segments it consists of, and up to when they are complete.

A version never changes.  Position in the log is a timestamp: the log's timestamps rise over all
generations, so "complete to ts" says the same as a file and an offset, and survives rotation.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from roost.errors import CorruptRecord, NewerFormat

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class IndexFile:
    """The built index of one field of one segment."""

    index_id: int
    field_id: int
    path: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One sealed segment and the files that make it; all paths as in `Files`."""

    id: int
    partition_id: int
    folder: str
    """Its immutable files; their names are the segment room's affair."""
    rows: int
    size_bytes: int
    min_ts: int
    max_ts: int
    deletes: tuple[str, ...] = ()
    """Delete files, oldest first."""
    deleted_rows: int = 0
    deletes_complete_to: int = 0
    """Every delete up to this timestamp is in `deletes` (hazard H8)."""
    indexes: tuple[IndexFile, ...] = ()
    oldest_read_ts: int = 0
    """Rows deleted up to this timestamp were left out when it was written (compaction), so reads at
    an older instant need an older version."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of one collection."""

    collection_id: int
    version: int
    generation: int
    """Of the writer that committed it."""
    complete_to: int
    """Every row with a timestamp up to this one is in `segments`; later ones are in the log."""
    segments: tuple[SegmentEntry, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        """Every path that it names: none may be deleted while a stored version names it."""
        paths: set[str] = set()
        for segment in self.segments:
            paths.add(segment.folder)
            paths.update(segment.deletes)
            paths.update(index.path for index in segment.indexes)
        return paths

    def to_json(self) -> str:
        """Return the stored form."""
        return json.dumps({"format": FORMAT_VERSION, **asdict(self)}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes, where: str = "manifest") -> "Manifest":
        """Undo `to_json`.  Raises NewerFormat, CorruptRecord naming `where`."""
        try:
            raw = json.loads(text)
            version = raw.pop("format")
            if version > FORMAT_VERSION:
                raise NewerFormat(where, version, FORMAT_VERSION)
            segments = tuple(_segment(entry) for entry in raw.pop("segments"))
            return Manifest(**raw, segments=segments)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptRecord(where, f"not a manifest: {error}") from error


def manifest_path(collection_id: int, version: int) -> str:
    """Return where the volume keeps a copy of that version (hazard H9)."""
    return f"manifest/{collection_id}/{version}"


def _segment(raw: dict[str, Any]) -> SegmentEntry:
    indexes = tuple(IndexFile(**entry) for entry in raw.pop("indexes"))
    deletes = tuple(raw.pop("deletes"))
    return SegmentEntry(**raw, indexes=indexes, deletes=deletes)
