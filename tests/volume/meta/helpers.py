"""What several tests of the metadata ask of a volume."""

import pytest

from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ChunkNo, Ino, Slice, SliceId


def slice_refs(meta: Meta) -> dict[SliceId, int]:
    """Return how often each slice that records name is counted, whatever the engine stores."""
    records = {(s.id, s.size) for chunk in meta.list_slices() for s in chunk.slices if s.id}
    return meta.engine.read(
        lambda reads: {
            slice_id: reads.slice_refs(slice_id, size) or 0 for slice_id, size in records
        }
    )


def refused(errno_wanted: int, attempt: object, *values: object, **named: object) -> None:
    """Call `attempt` and see it refused with this errno."""
    with pytest.raises(FsError) as refusal:
        attempt(*values, **named)  # type: ignore[operator]
    assert refusal.value.errno == errno_wanted


def add_slice(meta: Meta, ino: Ino, length: int, pos: int = 0, chunk_no: int = 0) -> SliceId:
    """Write a slice of its own into a file."""
    slice_id = meta.new_slice_id()
    meta.write_slice(ino, ChunkNo(chunk_no), Slice(pos, slice_id, length, 0, length))
    return slice_id


def stop_heartbeat(meta: Meta) -> None:
    """Leave the session's lease and all cleaning up to the test."""
    assert meta._heartbeat is not None
    meta._heartbeat.stop()
