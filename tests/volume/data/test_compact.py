"""Compaction: JuiceFS's plan, the same bytes before and after, and nothing lost to a race."""

import os
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roost.errors import MissingBlock, Unavailable
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.data.compact import compact_chunk, plan, skip_some
from roost.volume.data.settings import DataSettings
from roost.volume.model import ChunkNo, Slice, SliceId

BLOCK = 64 << 10
MIB = 1 << 20
FIRST = ChunkNo(0)
Record = tuple[int, int, int, int, int]  # (pos, id, size, offset, length), as the reference has it


def reference_overlay(records: list[Record]) -> list[Record]:
    """The reference's own words, section 5.3."""
    segments: list[Record] = []
    for pos, sid, size, off, length in records:
        if not length:
            continue
        new = []
        for p, i, s, o, n in segments:
            if p + n <= pos or p >= pos + length:
                new.append((p, i, s, o, n))
                continue
            if p < pos:
                new.append((p, i, s, o, pos - p))
            if p + n > pos + length:
                cut = pos + length - p
                new.append((pos + length, i, s, o + cut, n - cut))
        new.append((pos, sid, size, off, length))
        segments = sorted(new)
    out: list[Record] = []
    end = 0
    for segment in segments:
        if segment[0] > end:
            out.append((end, 0, 0, 0, segment[0] - end))
        out.append(segment)
        end = segment[0] + segment[4]
    return out


def reference_plan(raw: list[Record]) -> tuple[int, int, list[Record]]:
    """Section 5.4; compared there with the official client on 19 files."""
    pieces, pos = reference_overlay(raw), 0
    while len(pieces) > 1:
        if pieces[0][1] == 0:
            pos += pieces[0][4]
            pieces = pieces[1:]
        elif pieces[-1][1] == 0:
            pieces = pieces[:-1]
        else:
            break
    if len(pieces) == 1 and pieces[0][1] == 0:
        pieces = [(*pieces[0][:4], 1)]
    return pos, sum(piece[4] for piece in pieces), pieces


def reference_skip(raw: list[Record]) -> int:
    k = 0
    while k < len(raw):
        rest = raw[k:]
        pos, size, pieces = reference_plan(rest)
        first = rest[0]
        if first[4] < 1 << 20 or first[4] * 5 < size or size == 0:
            break
        shown = pieces[0]
        if (pos, shown[1], shown[3], shown[4]) != (first[0], first[1], first[3], first[4]):
            break
        if first in rest[1:]:
            break
        k += 1
    return k


@st.composite
def histories(draw: st.DrawFn) -> list[Slice]:
    """Records of a chunk, some of zeros, some large, some parts of a slice shown before."""
    records: list[Slice] = []
    for number in range(draw(st.integers(0, 12))):
        unit = draw(st.sampled_from([1, 1000, MIB // 2, MIB]))
        pos, length = draw(st.integers(0, 12)) * unit, draw(st.integers(1, 8)) * unit
        again = draw(st.booleans()) and records
        if draw(st.integers(0, 3)) == 0:
            records.append(Slice(pos, SliceId(0), 0, 0, length))
        elif again:
            records.append(draw(st.sampled_from(records)))
        else:
            offset = draw(st.sampled_from([0, 0, 5]))
            records.append(Slice(pos, SliceId(number + 1), length + offset, offset, length))
    return records


@given(records=histories())
@example(records=[Slice(0, SliceId(1), MIB, 0, MIB), Slice(MIB, SliceId(2), 5, 0, 5)])
@example(records=[Slice(5, SliceId(0), 0, 0, 10), Slice(30, SliceId(0), 0, 0, 10)])
def test_the_plan_is_that_of_the_official_client(records: list[Slice]) -> None:
    raw = [(s.pos, s.id, s.size, s.offset, s.length) for s in records]
    skipped = reference_skip(raw)
    assert skip_some(records) == skipped
    planned = plan(records)
    rest = raw[skipped:]
    if len(rest) < 2 or not reference_plan(rest)[1]:
        assert planned is None
        return
    assert planned is not None
    pos, size, pieces = reference_plan(rest)
    assert (planned.pos, planned.size_bytes) == (pos, size)
    found = [(s.id, s.size, s.offset if s.id else 0, s.length) for s in planned.pieces]
    assert found == [(p[1], p[2], p[3] if p[1] else 0, p[4]) for p in pieces]


def write_pieces(client: VolumeClient, path: str, seed: int, count: int = 12) -> bytes:
    """Write a file in many overlapping pieces, each synced; return its content."""
    rng = random.Random(seed)
    model = bytearray()
    with client.open_file(path, "w") as file:
        for n in range(count):
            offset, data = rng.randrange(3 * BLOCK), bytes([n + 1]) * rng.randrange(1, 2 * BLOCK)
            file.pwrite(offset, data)
            file.fsync()
            if rng.random() < 0.2:
                file.truncate(offset)
            grown = bytearray(max(len(model), offset + len(data)))
            grown[: len(model)] = model
            grown[offset : offset + len(data)] = data
            model = grown
            if file.stat().length == offset:
                model = model[:offset]
    return bytes(model)


@pytest.fixture
def client(volume: TestVolume) -> VolumeClient:
    return volume.open(data=DataSettings(compact=False))


@pytest.mark.parametrize("seed", range(5))
def test_a_compacted_chunk_has_the_same_bytes_and_fewer_records(
    volume: TestVolume, client: VolumeClient, seed: int
) -> None:
    data = write_pieces(client, "/a", seed)
    reader = volume.open(read_only=True)
    with reader.open_file("/a") as held:
        assert held.pread(0) == data
        ino = client.node("/a").ino
        before = client.meta.read_chunk(ino, FIRST)
        mtime_ns = client.stat("/a").mtime_ns
        assert compact_chunk(client.core, ino, FIRST) == len(before) - 1
        assert len(client.meta.read_chunk(ino, FIRST)) == 1
        assert client.stat("/a").mtime_ns == mtime_ns
        assert client.read("/a") == data
        client.core.removals.submit(lambda: None).result()
        reader.core.cache.forget()
        assert held.pread(0) == data, "a reader with the old records asks for the new ones"
    assert compact_chunk(client.core, ino, FIRST) == 0
    client.close()
    named = {ref.id for ref in reader.meta.list_slice_refs()}
    assert {int(key.rsplit("/")[-1].split("_")[0]) for key in volume.objects()} == named


def test_with_a_trash_the_old_slices_wait_there(tmp_path: object) -> None:
    volume = make_test_volume(tmp_path / "v", trash_days=1)  # type: ignore[operator]
    client = volume.open(data=DataSettings(compact=False))
    data = write_pieces(client, "/a", 1)
    objects = set(volume.objects())
    ino = client.node("/a").ino
    assert compact_chunk(client.core, ino, FIRST)
    assert client.read("/a") == data
    client.close()
    assert objects < set(volume.objects())
    reader = volume.open(read_only=True)
    assert [len(delayed.slices) for delayed in reader.meta.delayed_slices(1 << 40)] == [12]
    volume.finish()


def test_a_compaction_that_is_overtaken_leaves_nothing(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = write_pieces(client, "/a", 2)
    ino = client.node("/a").ino
    other = volume.open(data=DataSettings(compact=False))
    done: list[int] = []

    def overtake(verb: str, _key: str) -> None:
        if verb == "put" and not done:
            done.append(0)
            done.append(compact_chunk(other.core, ino, FIRST))

    volume.store.before_call = overtake
    assert compact_chunk(client.core, ino, FIRST) == 0
    assert done[1] > 0
    assert client.read("/a") == data
    client.close()
    other.close()
    assert len({key.rsplit("/")[-1].split("_")[0] for key in volume.objects()}) == 1


def test_writes_during_a_compaction_stay_on_top(volume: TestVolume, client: VolumeClient) -> None:
    data = bytearray(write_pieces(client, "/a", 3))
    ino = client.node("/a").ino
    other = volume.open(data=DataSettings(compact=False))
    done: list[int] = []

    def write(verb: str, _key: str) -> None:
        if verb == "put" and not done:
            done.append(1)
            with other.open_file("/a", "r+") as file:
                file.pwrite(10, b"on top")

    volume.store.before_call = write
    assert compact_chunk(client.core, ino, FIRST) > 0
    data[10:16] = b"on top"
    assert client.read("/a") == bytes(data)
    assert len(client.meta.read_chunk(ino, FIRST)) == 2


def test_every_store_call_of_a_compaction_may_fail_and_nothing_changes(
    volume: TestVolume, client: VolumeClient
) -> None:
    data = write_pieces(client, "/a", 4)
    ino = client.node("/a").ino
    failed = 0
    for verb in ("get", "put"):
        for nth in range(1, 100):
            client.core.cache.forget()
            volume.store.fail(verb, nth)
            try:
                compact_chunk(client.core, ino, FIRST)
            except Unavailable:
                failed += 1
            else:
                break
            finally:
                volume.store.heal()
            assert len(client.meta.read_chunk(ino, FIRST)) > 1
            assert client.read("/a") == data
        if verb == "get":
            data = write_pieces(client, "/a", 5)
    assert failed > 3
    client.close()
    named = {ref.id for ref in volume.open(read_only=True).meta.list_slice_refs()}
    assert {int(key.rsplit("/")[-1].split("_")[0]) for key in volume.objects()} == named


def test_a_missing_block_stops_a_compaction_and_stays_named(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.write("/a", b"x" * 10)
    with client.open_file("/a", "r+") as file:
        file.pwrite(20, b"y")
    victim = volume.objects()[0]
    kept = volume.store.get(victim)
    volume.store.delete(victim)
    with pytest.raises(MissingBlock, match=victim):
        compact_chunk(client.core, client.node("/a").ino, FIRST)
    volume.store.put(victim, kept)


def test_a_reader_of_many_records_has_them_merged(volume: TestVolume) -> None:
    client = volume.open()
    data = write_pieces(client, "/a", 6)
    assert client.read("/a") == data
    client.close()
    reader = volume.open(read_only=True)
    assert len(reader.meta.read_chunk(reader.node("/a").ino, FIRST)) < 12
    assert reader.read("/a") == data


def test_a_log_is_left_as_it_is(volume: TestVolume) -> None:
    client = volume.open()
    with client.open_file("/log", "x", compact=False) as log:
        for _ in range(130):
            log.append(os.urandom(10))
            log.fsync()
    with client.open_file("/log", compact=False) as log:
        assert len(log.pread(0)) == 1300
    client.close()
    reader = volume.open(read_only=True)
    assert len(reader.meta.read_chunk(reader.node("/log").ino, FIRST)) == 130
