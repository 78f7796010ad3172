"""Records of the log stream, cut into frames that are copied as seldom as possible.

A frame is a FollowEvent of protobuf, but written and read by hand: the payload is copied once into
the message that gRPC sends and not at all out of the one it received, where protobuf would copy it
three times each way.  The bytes are what protobuf makes of the same message.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from typing_extensions import Buffer

from roost.cluster.large_field import get_varint, put_varint
from roost.cluster.wire import roost_pb2 as wire
from roost.sizes import MIB

FRAME_BYTES = 1 * MIB
_FRAME_TAG = b"\x12"
"""Field 2 of FollowEvent, the frame; and field 2 of a frame, its data."""
_SIZE_TAG = b"\x08"
"""Field 1 of a frame: the bytes of the whole record."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Some bytes of a record; `data` points into the message."""

    size_bytes: int
    """Of the whole record."""
    data: memoryview


def read_event(raw: bytes) -> "Frame | wire.FollowEvent":
    """Return a message of the stream: a frame, or any other event."""
    frame = _read_frame(raw)
    if frame is not None:
        return frame
    event: wire.FollowEvent = wire.FollowEvent.FromString(raw)
    return event


def _read_frame(raw: bytes) -> Frame | None:
    """Return the frame if it is one as `frame_events` makes it."""
    if not raw.startswith(_FRAME_TAG):
        return None
    _, at = get_varint(raw, 1)
    if raw[at : at + 1] != _SIZE_TAG:
        return None
    size_bytes, at = get_varint(raw, at + 1)
    if raw[at : at + 1] != _FRAME_TAG:
        return None
    length, at = get_varint(raw, at + 1)
    return Frame(size_bytes, memoryview(raw)[at:]) if at + length == len(raw) else None


def frame_events(pieces: list[Buffer]) -> Iterator[bytes]:
    """Yield one record as encoded FollowEvents, each with at most `FRAME_BYTES` of it."""
    views = [memoryview(piece).cast("B") for piece in pieces]
    size_field = _SIZE_TAG + put_varint(sum(len(view) for view in views))
    for parts in _slices(views):
        length = sum(len(part) for part in parts)
        data_field = _FRAME_TAG + put_varint(length)
        head = _FRAME_TAG + put_varint(len(size_field) + len(data_field) + length)
        yield b"".join((head, size_field, data_field, *parts))


def _slices(views: list[memoryview]) -> Iterator[list[memoryview]]:
    """Cut the buffers, taken one after the other, into groups of `FRAME_BYTES`."""
    group: list[memoryview] = []
    room = FRAME_BYTES
    for whole in views:
        view = whole
        while len(view) > room:
            yield [*group, view[:room]]
            view, group, room = view[room:], [], FRAME_BYTES
        group.append(view)
        room -= len(view)
    if group:
        yield group
