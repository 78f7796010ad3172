"""Golden bytes: recorded from juicefs 1.4.2, as the volume format reference lists them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import CorruptRecord
from roost.volume.codec import (
    decode_attr,
    decode_delayed,
    decode_edge,
    decode_slices,
    encode_attr,
    encode_delayed,
    encode_edge,
    encode_file,
    encode_file_edge,
    encode_slice,
    encode_slices,
    join_micros,
    split_micros,
)
from roost.volume.model import Attr, Edge, Ino, Kind, Slice, SliceId, SliceRef

WHEN_NS = 0x6B0366C5 * 1_000_000_000
TIMES = "000000006b0366c500000000" * 3


def at(kind: Kind, mode: int, **rest: int) -> Attr:
    values = {"nlink": 1, "parent": 1, **rest}
    return Attr(
        kind=kind, mode=mode, atime_ns=WHEN_NS, mtime_ns=WHEN_NS, ctime_ns=WHEN_NS, **values
    )  # type: ignore[arg-type]  # parent is an Ino


GOLDEN = {
    "root": (
        at(Kind.DIRECTORY, 0o777, nlink=2, length=4096),
        "0021ff" + "00" * 8 + TIMES + "00000002" + "0000000000001000" + "00000000"
        "0000000000000001" + "00",
    ),
    "two names": (
        at(Kind.FILE, 0o644, nlink=2, length=5, parent=0),
        "0011a4" + "00" * 8 + TIMES + "00000002" + "0000000000000005" + "00000000"
        "0000000000000000" + "00",
    ),
    "device": (
        at(Kind.CHAR_DEVICE, 0o644, rdev=0x103),
        "0061a4" + "00" * 8 + TIMES + "00000001" + "0000000000000000" + "00000103"
        "0000000000000001" + "00",
    ),
    "default acl": (
        at(Kind.DIRECTORY, 0o755, nlink=2, length=4096, default_acl=2),
        "0021ed" + "00" * 8 + TIMES + "00000002" + "0000000000001000" + "00000000"
        "0000000000000001" + "0000000000000002" + "00",
    ),
    "tier": (
        at(Kind.DIRECTORY, 0o755, nlink=2, length=4096, tier=1),
        "0021ed" + "00" * 8 + TIMES + "00000002" + "0000000000001000" + "00000000"
        "0000000000000001" + "0100",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_attributes_have_the_recorded_bytes(name: str) -> None:
    attr, recorded = GOLDEN[name]
    assert encode_attr(attr).hex() == recorded
    assert decode_attr(bytes.fromhex(recorded)) == attr


@pytest.mark.parametrize("name", GOLDEN)
def test_attributes_without_the_trailing_zero_are_read(name: str) -> None:
    attr, recorded = GOLDEN[name]
    assert decode_attr(bytes.fromhex(recorded)[:-1]) == attr


@pytest.mark.parametrize("length", [0, 1, 62])
def test_short_attributes_are_damage_not_defaults(length: int) -> None:
    with pytest.raises(CorruptRecord, match="inode 7"):
        decode_attr(bytes.fromhex(GOLDEN["root"][1])[:length], "inode 7")


def test_attributes_of_an_unknown_kind_are_damage() -> None:
    raw = bytearray(bytes.fromhex(GOLDEN["root"][1]))
    raw[1] = 0x91
    with pytest.raises(CorruptRecord, match="kind 9"):
        decode_attr(bytes(raw))


SLICES = [
    ("000000000000000000000001000000050000000000000005", Slice(0, SliceId(1), 5, 0, 5)),
    ("000013880000000000000000000000000000000000001388", Slice(5000, SliceId(0), 0, 0, 5000)),
    ("00000064000000000000000800000bb8000001f4000009c4", Slice(100, SliceId(8), 3000, 500, 2500)),
]


@pytest.mark.parametrize(("recorded", "record"), SLICES)
def test_slices_have_the_recorded_bytes(recorded: str, record: Slice) -> None:
    assert encode_slices([record]).hex() == recorded
    assert decode_slices(bytes.fromhex(recorded)) == (record,)


def test_half_a_slice_record_is_damage() -> None:
    raw = encode_slices([SLICES[0][1], SLICES[1][1]])
    with pytest.raises(CorruptRecord):
        decode_slices(raw[:-1])


def test_entries_are_nine_bytes() -> None:
    edge = Edge(Kind.FILE, Ino(2))
    assert encode_edge(edge) == bytes([1, 0, 0, 0, 0, 0, 0, 0, 2])
    assert decode_edge(encode_edge(edge)) == edge
    with pytest.raises(CorruptRecord):
        decode_edge(b"\1\0")


def test_delayed_slices_are_twelve_bytes_each() -> None:
    refs = (SliceRef(SliceId(7), 100), SliceRef(SliceId(9), 3))
    assert len(encode_delayed(refs)) == 24
    assert decode_delayed(encode_delayed(refs)) == refs


def test_a_recorded_time_splits_into_its_columns() -> None:
    assert split_micros(1795385548307429329) == (1795385548307429, 329)


@given(st.integers(-(2**62), 2**62))
def test_times_survive_the_columns(time_ns: int) -> None:
    micros, rest = split_micros(time_ns)
    assert join_micros(micros, rest) == time_ns
    assert -999 <= rest <= 999


@given(
    st.builds(
        Attr,
        kind=st.sampled_from(Kind),
        mode=st.integers(0, 0o7777),
        uid=st.integers(0, 2**32 - 1),
        gid=st.integers(0, 2**32 - 1),
        atime_ns=st.integers(-(2**60), 2**60),
        mtime_ns=st.integers(-(2**60), 2**60),
        ctime_ns=st.integers(-(2**60), 2**60),
        nlink=st.integers(0, 2**32 - 1),
        length=st.integers(0, 2**57),
        rdev=st.integers(0, 2**32 - 1),
        parent=st.integers(0, 2**63 - 1),
        flags=st.integers(0, 255),
        access_acl=st.integers(0, 2**32 - 1),
        default_acl=st.integers(0, 2**32 - 1),
        tier=st.integers(0, 255),
    )
)
def test_all_attributes_survive(attr: Attr) -> None:
    assert decode_attr(encode_attr(attr)) == attr


u32 = st.integers(0, (1 << 32) - 1)
times = st.integers(-(1 << 40) * 10**9, (1 << 40) * 10**9)


@given(st.integers(0, 0o7777), u32, u32, times, times, times, st.integers(0, 1 << 57))
def test_a_plain_file_has_the_bytes_of_any_node(
    mode: int, uid: int, gid: int, atime_ns: int, mtime_ns: int, ctime_ns: int, length: int
) -> None:
    attr = Attr(Kind.FILE, mode, uid, gid, atime_ns, mtime_ns, ctime_ns, 1, length, parent=Ino(77))
    parts = [part for time in (atime_ns, mtime_ns, ctime_ns) for part in divmod(time, 10**9)]
    at, at_ns, mt, mt_ns, ct, ct_ns = parts
    stored = encode_file(mode, uid, gid, (at, at_ns, mt, mt_ns, ct, ct_ns), length, 77)
    assert stored == encode_attr(attr)


@given(u32, st.integers(0, (1 << 63) - 1), u32, u32, u32)
def test_single_records_have_the_bytes_of_any(
    pos: int, number: int, size: int, offset: int, length: int
) -> None:
    one = Slice(pos, SliceId(number), size, offset, length)
    assert encode_slice(pos, number, size, offset, length) == encode_slices([one])
    assert encode_file_edge(number) == encode_edge(Edge(Kind.FILE, Ino(number)))
