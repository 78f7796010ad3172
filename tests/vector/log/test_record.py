"""Records as bytes: golden form, and every kind of damage."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import CorruptRecord, Damage, NewerFormat
from roost.vector.log.record import (
    HEADER_BYTES,
    Framed,
    Record,
    RecordKind,
    decode,
    encode,
    record_size,
    scan,
)

GOLDEN = Path(__file__).parent / "golden" / "log-v1.bin"


def make(timestamp: int, payload: bytes = b"", generation: int = 3) -> Record:
    return Record(RecordKind.INSERT, generation, timestamp, 7, 9, pa.py_buffer(payload))


def file_of(groups: Sequence[Sequence[Record]]) -> bytes:
    """Return the bytes of a log file made of these group commits."""
    pieces = [
        bytes(memoryview(piece))
        for group in groups
        for at, record in enumerate(group)
        for piece in encode(record, opens_group=at == 0)
    ]
    return b"".join(pieces)


def payloads(framed: list[Framed]) -> list[bytes]:
    return [f.record.payload.to_pybytes() for f in framed]


GROUPS = [
    [make(1, b"alpha"), make(2, b"")],
    [make(5, b"x" * 70)],
    [make(6, b"omega"), make(9, b"end")],
]
FILE = file_of(GROUPS)
ENDS = [framed.end for framed in scan(FILE)]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_what_is_encoded_is_scanned_back(texts: list[bytes]) -> None:
    data = file_of([[make(at + 1, text)] for at, text in enumerate(texts)])
    assert len(data) % 64 == 0
    assert payloads(list(scan(data))) == texts


def test_the_payload_is_neither_copied_by_encode_nor_by_decode() -> None:
    payload = pa.py_buffer(b"p" * 1000)
    pieces = encode(Record(RecordKind.UPSERT, 1, 1, 1, 1, payload))
    assert pieces[1] is payload
    data = pa.py_buffer(b"".join(bytes(memoryview(piece)) for piece in pieces))
    found = decode(data).record.payload
    assert found.address == data.address + HEADER_BYTES


def test_size_is_what_encode_makes() -> None:
    for size in (0, 1, 15, 16, 17, 63, 64, 65):
        made = sum(memoryview(piece).nbytes for piece in encode(make(1, b"z" * size)))
        assert made == record_size(size)


def changed_at(offset: int) -> bytes:
    changed = bytearray(FILE)
    changed[offset] ^= 0x41
    return bytes(changed)


def test_a_changed_byte_anywhere_is_damage_in_a_closed_file() -> None:
    for offset in range(len(FILE)):
        at = max(end for end in [0, *ENDS] if end <= offset)
        with pytest.raises(Damage, match=f"log/3/0 at offset {at}\\b"):
            list(scan(changed_at(offset), "log/3/0"))


def test_a_changed_byte_in_an_open_file_ends_it_only_within_the_last_group() -> None:
    for offset in range(len(FILE)):
        if offset < ENDS[2]:
            with pytest.raises(Damage):
                list(scan(changed_at(offset), may_be_torn=True))
        else:
            found = list(scan(changed_at(offset), may_be_torn=True))
            assert len(found) == (3 if offset < ENDS[3] else 4), offset


def test_a_file_cut_anywhere_gives_its_whole_records_when_it_is_open() -> None:
    for size in range(len(FILE)):
        found = list(scan(FILE[:size], may_be_torn=True))
        assert [f.end for f in found] == [end for end in ENDS if end <= size]


def test_a_file_cut_inside_a_record_is_damage_when_it_is_closed() -> None:
    for size in set(range(1, len(FILE))) - set(ENDS):
        with pytest.raises(CorruptRecord):
            list(scan(FILE[:size]))


def test_a_tail_of_zeros_is_torn_when_open_and_damage_when_closed() -> None:
    padded = FILE + bytes(256)
    assert len(list(scan(padded, may_be_torn=True))) == 5
    with pytest.raises(CorruptRecord):
        list(scan(padded))


@pytest.mark.parametrize("second", [4, 5])
def test_timestamps_that_do_not_rise_are_damage(second: int) -> None:
    with pytest.raises(CorruptRecord, match="follows"):
        list(scan(file_of([[make(5)], [make(second)]])))


def test_records_of_two_generations_in_one_file_are_damage() -> None:
    with pytest.raises(CorruptRecord, match="follows"):
        list(scan(file_of([[make(5)], [make(6, generation=4)]])))


def test_a_newer_format_is_refused_by_name_even_as_a_tail() -> None:
    newer = bytearray(FILE)
    newer[ENDS[3] + 3 : ENDS[3] + 4] = b"2"
    with pytest.raises(NewerFormat, match="format version 2"):
        list(scan(bytes(newer), may_be_torn=True))


def test_the_golden_log_of_version_1_reads_for_ever() -> None:
    data = GOLDEN.read_bytes()
    found = list(scan(data))
    assert [(f.record.kind.name, f.record.timestamp, f.opens_group) for f in found] == [
        ("INSERT", 262144, True),
        ("UPSERT", 262145, False),
        ("DELETE", 262146, False),
        ("BARRIER", 524288, True),
    ]
    assert payloads(found) == [b"rows", b"newer rows", b"", b'{"ddl":1}']
    assert {(f.record.generation, f.record.collection_id) for f in found} == {(3, 7)}
    assert [f.record.partition_id for f in found] == [9, 9, 0, 0]
    again = [piece for f in found for piece in encode(f.record, opens_group=f.opens_group)]
    assert b"".join(bytes(memoryview(piece)) for piece in again) == data
