"""The writer's stream and what a follower makes of it; no gRPC here."""

from dataclasses import replace

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.cluster.follow import Incoming
from roost.cluster.frames import FRAME_BYTES, Frame, frame_events, read_event
from roost.cluster.rpc.server import Events
from roost.cluster.spare import SpareMemory
from roost.cluster.stream import LogStream
from roost.cluster.wire import roost_pb2 as wire
from roost.errors import CorruptRecord, Unavailable
from roost.vector.api import KeptBy
from roost.vector.engine.follow import Feed, Listener, Subscription
from roost.vector.log.record import Record, RecordKind, encode
from roost.vector.manifest import Manifest


def record(timestamp: int, size_bytes: int = 10, generation: int = 1) -> Record:
    payload = pa.py_buffer(bytes(timestamp % 251 for _ in range(1)) * size_bytes)
    return Record(RecordKind.INSERT, generation, timestamp, 3, 1, payload)


class Writer:
    """A writer's feed without a writer."""

    generation = 1

    def __init__(self) -> None:
        self.feed = Feed(100)

    def subscribe(self, listener: Listener) -> Subscription:
        return self.feed.subscribe(listener)

    def unsubscribe(self, token: int) -> None:
        self.feed.unsubscribe(token)


def take(events: Events, count: int) -> list[wire.FollowEvent]:
    iterator = iter(events)
    return [wire.FollowEvent.FromString(next(iterator)) for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3 * FRAME_BYTES), min_size=1, max_size=4))
def test_frames_are_small_and_what_protobuf_itself_would_write(sizes: list[int]) -> None:
    pieces = [bytes([at + 1]) * size for at, size in enumerate(sizes)]
    whole = b"".join(pieces)
    found = b""
    for raw in frame_events([pa.py_buffer(piece) for piece in pieces]):
        event = wire.FollowEvent.FromString(raw)
        assert event.SerializeToString() == raw
        assert event.frame.size_bytes == len(whole)
        assert 0 < len(event.frame.data) <= FRAME_BYTES
        found += event.frame.data
    assert found == whole


def test_a_large_record_comes_out_whole() -> None:
    incoming = Incoming(1)
    sent = record(200, 5 * FRAME_BYTES + 17)
    frames = [wire.FollowEvent.FromString(raw).frame for raw in frame_events(encode(sent))]
    assert len(frames) == 6
    for frame in frames:
        assert incoming.durable(1000) == []
        incoming.frame(frame.size_bytes, memoryview(frame.data))
    (found,) = incoming.durable(200)
    assert found == sent


def test_records_stay_hidden_until_a_watermark_covers_them() -> None:
    incoming = Incoming(1)
    for timestamp in (200, 201, 202):
        for raw in frame_events(encode(record(timestamp))):
            frame = wire.FollowEvent.FromString(raw).frame
            incoming.frame(frame.size_bytes, memoryview(frame.data))
    assert incoming.durable(199) == []
    assert [r.timestamp for r in incoming.durable(201)] == [200, 201]
    assert [r.timestamp for r in incoming.durable(202)] == [202]


def test_a_record_of_another_generation_is_damage_and_not_shown() -> None:
    incoming = Incoming(2)
    (raw,) = frame_events(encode(record(200, generation=1)))
    frame = wire.FollowEvent.FromString(raw).frame
    with pytest.raises(CorruptRecord):
        incoming.frame(frame.size_bytes, memoryview(frame.data))


def test_a_changed_byte_on_the_way_is_damage() -> None:
    (raw,) = frame_events(encode(record(200, 1000)))
    frame = wire.FollowEvent.FromString(raw).frame
    changed = bytearray(frame.data)
    changed[500] ^= 1
    with pytest.raises(CorruptRecord):
        Incoming(1).frame(frame.size_bytes, memoryview(bytes(changed)))


def test_a_follower_hears_where_it_joined_then_all_in_order() -> None:
    writer = Writer()
    stream = LogStream(writer)
    writer.feed.record(record(150))
    events = stream.follow("reader")
    writer.feed.record(record(160))
    writer.feed.advance(160)
    writer.feed.manifest(Manifest(3, 2, 1, 120))
    writer.feed.catalog_change()
    hello, first, frame, durable, manifest, change = take(events, 6)
    assert (hello.hello.generation, hello.hello.complete_from_ts) == (1, 150)
    assert first.durable_ts == 100
    assert frame.frame.size_bytes == len(frame.frame.data)
    assert durable.durable_ts == 160
    assert Manifest.from_json(manifest.manifest).version == 2
    assert change.WhichOneof("event") == "catalog_change"


def test_who_keeps_the_payload_is_told_the_header_alone_and_others_everything() -> None:
    writer = Writer()
    stream = LogStream(writer)
    keeper, other = stream.follow("reader", "token"), stream.follow("reader")
    sent = replace(record(160, 1000), kept_by=KeptBy("token", 77))
    writer.feed.record(sent)
    writer.feed.advance(160)
    _, _, kept, _ = take(keeper, 4)
    _, _, frame, _ = take(other, 4)
    assert (kept.WhichOneof("event"), frame.WhichOneof("event")) == ("kept", "frame")
    assert kept.kept.number == 77
    assert kept.ByteSize() < 100
    incoming = Incoming(1)
    incoming.kept(kept.kept.header, sent.payload)
    assert incoming.durable(159) == []
    assert incoming.durable(160) == [sent]


def test_another_payload_than_the_records_is_damage() -> None:
    header = bytes(encode(record(160, 1000))[0])
    for wrong in (record(161, 1000).payload, record(160, 999).payload):
        with pytest.raises(CorruptRecord):
            Incoming(1).kept(header, wrong)
    with pytest.raises(CorruptRecord):
        Incoming(1).kept(header[:-1], record(160, 1000).payload)
    with pytest.raises(CorruptRecord):
        Incoming(2).kept(header, record(160, 1000).payload)


def test_payloads_that_are_gone_leave_holes_until_a_watermark_covers_them() -> None:
    incoming = Incoming(1)
    for timestamp in (160, 170):
        incoming.kept(bytes(encode(record(timestamp))[0]), None)
    assert incoming.holes(159) == []
    assert incoming.holes(165) == [160]
    assert incoming.holes(169) == []
    assert incoming.holes(170) == [170]
    assert incoming.holes(1000) == []
    assert incoming.durable(1000) == []


def test_a_hole_of_another_generation_or_without_a_whole_header_is_damage() -> None:
    header = bytes(encode(record(160))[0])
    with pytest.raises(CorruptRecord):
        Incoming(2).kept(header, None)
    for wrong in (header[:-1], b"XXXX" + header[4:]):
        with pytest.raises(CorruptRecord):
            Incoming(1).kept(wrong, None)


def test_spare_memory_is_for_records_that_come_in_frames() -> None:
    spare = SpareMemory()
    asked: list[int] = []
    spare.prepare = asked.append  # type: ignore[method-assign]
    incoming = Incoming(1, spare)
    sent = record(160, 1000)
    incoming.kept(bytes(encode(sent)[0]), sent.payload)
    assert incoming.durable(160) == [sent]
    assert asked == []
    (raw,) = frame_events(encode(record(161, 1000)))
    frame = wire.FollowEvent.FromString(raw).frame
    incoming.frame(frame.size_bytes, memoryview(frame.data))
    assert len(incoming.durable(161)) == 1
    assert asked == [frame.size_bytes]


def test_a_follower_that_lags_too_far_is_cut_off_and_others_are_not() -> None:
    writer = Writer()
    stream = LogStream(writer, queue_bytes=10_000)
    slow, quick = stream.follow("slow"), stream.follow("quick")
    iterator = iter(quick)
    for timestamp in range(200, 220):
        writer.feed.record(record(timestamp, 1_000))
        next(iterator)
    assert stream.followers == ("quick",)
    with pytest.raises(Unavailable, match="behind"):
        list(slow)


def test_the_end_of_the_writer_ends_the_stream_after_what_was_sent() -> None:
    writer = Writer()
    stream = LogStream(writer)
    events = stream.follow("reader")
    writer.feed.advance(300)
    writer.feed.end("deposed")
    seen = []
    with pytest.raises(Unavailable, match="deposed"):
        seen += [wire.FollowEvent.FromString(raw) for raw in events]
    with pytest.raises(Unavailable):
        stream.follow("another")


def test_a_follower_that_left_costs_nothing() -> None:
    writer = Writer()
    stream = LogStream(writer)
    events = stream.follow("reader")
    events.close()
    assert stream.followers == ()
    writer.feed.record(record(200))


def test_frames_and_other_events_are_read_as_protobuf_reads_them() -> None:
    for raw in frame_events(encode(record(200, 3 * FRAME_BYTES))):
        frame, by_protobuf = read_event(raw), wire.FollowEvent.FromString(raw).frame
        assert isinstance(frame, Frame)
        assert frame.size_bytes == by_protobuf.size_bytes
        assert bytes(frame.data) == by_protobuf.data
    for event in (
        wire.FollowEvent(durable_ts=7),
        wire.FollowEvent(manifest="{}"),
        wire.FollowEvent(frame=wire.RecordFrame(size_bytes=0, data=b"")),
    ):
        assert read_event(event.SerializeToString()) == event
    with pytest.raises(DecodeError):
        read_event(b"\x12\xff")
