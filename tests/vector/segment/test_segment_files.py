"""Segment files: what is written is read back; damage and newer formats are told by name."""

import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from roost.errors import CorruptRecord, NewerFormat, NotFound
from roost.testing.small_collections import DIM, FIRST, keys_array, small_rows, small_schema
from roost.vector.expr import ColumnStatistics
from roost.vector.files import DirectoryFiles
from roost.vector.manifest import SegmentEntry
from roost.vector.schema import DataType
from roost.vector.segment import layout
from roost.vector.segment.deletes import read_deletes, write_deletes
from roost.vector.segment.sealed import SealedSegment, open_vectors, vector_path
from roost.vector.segment.writing import SegmentAddress, rows_path, write_segment

GOLDEN = Path(__file__).parent / "golden"
KEYS = [5, 3, 9, 3]
VECTORS = np.arange(16, dtype=np.float32).reshape(4, DIM) / 4
ROW_TS = np.array([10, 10, 20, 30])
ADDRESS = SegmentAddress(1, FIRST, "segment-1")


@pytest.fixture(params=[DataType.INT64, DataType.VARCHAR], ids=["integers", "strings"])
def primary(request: pytest.FixtureRequest) -> DataType:
    return DataType(request.param)


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles(tmp_path)


def write_small(files: DirectoryFiles, primary: DataType) -> SegmentEntry:
    schema = small_schema(primary)
    rows = small_rows(schema, KEYS, VECTORS)
    entry = write_segment(files, ADDRESS, schema, rows, ROW_TS, 30)
    write_deletes(files, "segment-1/deletes-0", np.array([2, 0]), np.array([25, 40]))
    return entry


def entry_of_golden(primary: DataType) -> SegmentEntry:
    return SegmentEntry(
        1, FIRST, f"{primary.name}", 4, 0, 10, 30, (f"{primary.name}/deletes-0",), 2, 40
    )


def check_small(files: DirectoryFiles, entry: SegmentEntry, primary: DataType) -> None:
    schema = small_schema(primary)
    segment = SealedSegment.open(files, entry, schema)
    rows = small_rows(schema, KEYS, VECTORS)
    names = [field.name for field in schema.fields]
    assert segment.take(np.arange(4), names).equals(rows)
    assert segment.take(np.array([3, 0, 0]), names).equals(rows.take(pa.array([3, 0, 0])))
    assert segment.row_ts.tolist() == ROW_TS.tolist()
    assert segment.vectors(103).tolist() == VECTORS.tolist()
    assert not segment.keys_distinct
    assert sorted(segment.find(keys_array(schema, [3, 4, 5])).tolist()) == [0, 1, 3]
    assert segment.statistics["color"] == ColumnStatistics(3, 9, 0)
    assert segment.statistics["note"] == ColumnStatistics(None, None, 4)
    segment.verify()


def test_a_segment_reads_back_what_was_written(files: DirectoryFiles, primary: DataType) -> None:
    entry = write_small(files, primary)
    assert (entry.rows, entry.min_ts, entry.max_ts, entry.deletes_complete_to) == (4, 10, 30, 30)
    assert files.list("segment-1") == ["deletes-0", "rows", "vector-103"]
    assert entry.size_bytes == files.size("segment-1/rows") + files.size("segment-1/vector-103")
    check_small(files, entry, primary)


def test_a_segment_of_one_instant_stores_no_timestamps(files: DirectoryFiles) -> None:
    schema = small_schema()
    rows = small_rows(schema, KEYS, VECTORS)
    entry = write_segment(files, ADDRESS, schema, rows, np.full(4, 77))
    container = layout.Container(files.open_local("segment-1/rows"), "rows", "rows")
    with pytest.raises(CorruptRecord, match="no section timestamps"):
        container.unchecked("timestamps")
    assert SealedSegment.open(files, entry, schema).row_ts.tolist() == [77] * 4


def test_a_vector_file_begins_with_the_raw_vectors(files: DirectoryFiles) -> None:
    write_small(files, DataType.INT64)
    local = files.open_local(vector_path("segment-1", 103))
    assert np.fromfile(local, "<f4", 16).reshape(4, DIM).tolist() == VECTORS.tolist()
    assert open_vectors(local, "v").tolist() == VECTORS.tolist()


@pytest.mark.parametrize("name", ["rows", "vector-103", "deletes-0"])
def test_files_of_format_1_never_change(
    files: DirectoryFiles, primary: DataType, name: str
) -> None:
    """Made once by the first release: the bytes written today are the same."""
    write_small(files, primary)
    golden = GOLDEN / primary.name / name
    if name == "rows":  # Arrow may encode its part differently in another release
        check_golden_sections(files.open_local("segment-1/rows"), golden)
    else:
        assert files.read(f"segment-1/{name}") == golden.read_bytes()


def check_golden_sections(written: Path, golden: Path) -> None:
    new = layout.Container(written, "new", "rows")
    old = layout.Container(golden, "golden", "rows")
    assert new.meta == old.meta
    for section in ("key_numbers", "key_rows", "timestamps"):
        assert new.section(section).tolist() == old.section(section).tolist()


def test_files_of_format_1_are_read(tmp_path: Path, primary: DataType) -> None:
    shutil.copytree(GOLDEN / primary.name, tmp_path / primary.name)
    files = DirectoryFiles(tmp_path)
    check_small(files, entry_of_golden(primary), primary)
    offsets, delete_ts = read_deletes(files, f"{primary.name}/deletes-0")
    assert (offsets.tolist(), delete_ts.tolist()) == ([2, 0], [25, 40])


# Damage.


def read_everything(files: DirectoryFiles, entry: SegmentEntry) -> None:
    segment = SealedSegment.open(files, entry, small_schema())
    segment.take(np.arange(4), ["pk", "color", "note", "$meta", "vec"])
    segment.find(pa.array([3]))
    assert segment.row_ts is not None
    segment.vectors(103)


FILES = ["rows", "vector-103", "deletes-0"]


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_noticed_or_padding(files: DirectoryFiles, name: str) -> None:
    entry = write_small(files, DataType.INT64)
    entry = entry_with_deletes(entry)
    local = files.open_local(f"segment-1/{name}")
    good = local.read_bytes()
    kind = {"rows": "rows", "vector-103": "vectors", "deletes-0": "deletes"}[name]
    covered = covered_bytes(local, kind)
    for at in range(0, len(good), 7):
        local.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        if at in covered:
            with pytest.raises((CorruptRecord, NewerFormat)):
                read_everything(files, entry)
    local.write_bytes(good)
    read_everything(files, entry)


def covered_bytes(local: Path, kind: str) -> set[int]:
    container = layout.Container(local, "x", kind)
    end = container.size_bytes
    covered = set(range(end))
    for section in container._sections.values():
        padding_from = section.offset + section.size_bytes
        covered -= set(range(padding_from, -(-padding_from // layout.ALIGNMENT) * 64))
    return covered - set(range(end - 12, end - 8))


def entry_with_deletes(entry: SegmentEntry) -> SegmentEntry:
    return replace(entry, deletes=("segment-1/deletes-0",))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"", lambda data: data[:20], lambda data: data + b"x"],
    ids=["shorter", "empty", "start", "longer"],
)
def test_a_file_of_wrong_length_is_damage(
    files: DirectoryFiles, name: str, damage: Callable[[bytes], bytes]
) -> None:
    entry = entry_with_deletes(write_small(files, DataType.INT64))
    local = files.open_local(f"segment-1/{name}")
    local.write_bytes(damage(local.read_bytes()))
    with pytest.raises(CorruptRecord, match=f"segment-1/{name}"):
        read_everything(files, entry)


@pytest.mark.parametrize("name", FILES)
def test_a_newer_format_is_refused_by_name(files: DirectoryFiles, name: str) -> None:
    entry = entry_with_deletes(write_small(files, DataType.INT64))
    local = files.open_local(f"segment-1/{name}")
    data = local.read_bytes()
    local.write_bytes(data[:-16] + struct.pack("<I", 2) + data[-12:])
    with pytest.raises(NewerFormat, match=f"segment-1/{name}: format version 2"):
        read_everything(files, entry)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error(files: DirectoryFiles, name: str) -> None:
    entry = entry_with_deletes(write_small(files, DataType.INT64))
    files.delete(f"segment-1/{name}")
    with pytest.raises(NotFound):
        read_everything(files, entry)


def test_a_file_of_another_segment_is_refused(files: DirectoryFiles) -> None:
    entry = write_small(files, DataType.INT64)
    schema = small_schema()
    other = SegmentAddress(2, FIRST, "segment-2")
    write_segment(files, other, schema, small_rows(schema, [1], VECTORS[:1]), ROW_TS[:1])
    shutil.copyfile(
        files.open_local(rows_path("segment-2")), files.open_local(rows_path("segment-1"))
    )
    with pytest.raises(CorruptRecord, match="segment-1/rows"):
        SealedSegment.open(files, entry, schema)


def test_deletes_beyond_the_segment_are_damage(files: DirectoryFiles) -> None:
    entry = entry_with_deletes(write_small(files, DataType.INT64))
    files.delete("segment-1/deletes-0")
    write_deletes(files, "segment-1/deletes-0", np.array([4]), np.array([25]))
    with pytest.raises(CorruptRecord, match="rows that the segment has not"):
        SealedSegment.open(files, entry, small_schema())


def test_only_touched_pieces_of_vectors_are_checked(
    files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PIECE_BYTES", 16)  # one vector
    entry = write_small(files, DataType.INT64)
    local = files.open_local("segment-1/vector-103")
    data = local.read_bytes()
    local.write_bytes(data[:20] + b"\xff" + data[21:])
    segment = SealedSegment.open(files, entry, small_schema())
    assert segment.take(np.array([0, 3]), ["vec"]).num_rows == 2
    with pytest.raises(CorruptRecord):
        segment.take(np.array([1]), ["vec"])
