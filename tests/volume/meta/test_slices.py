import errno
import threading
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.errors import InvalidArgument
from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, ChunkNo, Ino, Slice, SliceId
from roost.volume.overlay import cover, zeros


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def write(meta: Meta, ino: Ino, offset: int, length: int) -> Slice:
    record = Slice(offset % CHUNK_BYTES, meta.new_slice_id(), length, 0, length)
    meta.write_slice(ino, ChunkNo(offset // CHUNK_BYTES), record)
    return record


def test_slices_come_back_in_the_order_they_were_written(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    records = tuple(write(meta, file, 10 * n, 100) for n in range(5))
    assert meta.read_chunk(file, ChunkNo(0)) == records
    assert meta.read_chunk(file, ChunkNo(1)) == ()
    assert meta.getattr(file).length == 140
    assert [chunk.slices for chunk in meta.list_slices()] == [records]
    assert {ref.refs for ref in meta.list_slice_refs()} <= {1}


def test_length_only_grows_by_writing(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    write(meta, file, CHUNK_BYTES + 5, 10)
    write(meta, file, 0, 10)
    assert meta.getattr(file).length == CHUNK_BYTES + 15


def test_each_change_of_data_changes_mtime_even_within_a_tick(
    meta: Meta, clock: ManualClock
) -> None:
    """Caches of other clients go by a different mtime."""
    file = meta.create(ROOT, b"f").ino
    seen = [meta.getattr(file).mtime_ns]
    for _ in range(3):
        write(meta, file, 0, 10)
        seen.append(meta.getattr(file).mtime_ns)
    seen.append(meta.truncate(file, 3).mtime_ns)
    assert all(left != right for left, right in pairwise(seen))


def test_mtime_of_a_write_is_when_the_data_came(meta: Meta, clock: ManualClock) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.setattr(file, AttrChange(mtime_ns=2**61))  # in the future
    record = Slice(0, meta.new_slice_id(), 1, 0, 1)
    after = meta.write_slice(file, ChunkNo(0), record, mtime_ns=12345)
    assert after == meta.getattr(file)
    assert (after.mtime_ns, after.ctime_ns) == (12345, clock.wall_ns())


def test_slice_numbers_are_never_given_twice_to_many_threads(meta: Meta) -> None:
    taken: list[SliceId] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(meta.new_slice_id() for _ in range(1500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 6000


def test_concurrent_appends_are_all_kept(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    threads = [
        threading.Thread(target=lambda n=n: [write(meta, file, n * 100 + i, 1) for i in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(meta.read_chunk(file, ChunkNo(0))) == 40
    assert meta.getattr(file).length == 310


@pytest.mark.parametrize(
    "record",
    [
        Slice(0, SliceId(0), 10, 0, 10),
        Slice(0, SliceId(1), 10, 5, 10),
        Slice(0, SliceId(1), 10, 0, 0),
        Slice(CHUNK_BYTES - 5, SliceId(1), 10, 0, 10),
        Slice(-1, SliceId(1), 10, 0, 10),
    ],
)
def test_records_that_fit_nowhere_are_refused(meta: Meta, record: Slice) -> None:
    file = meta.create(ROOT, b"f").ino
    with pytest.raises(InvalidArgument):
        meta.write_slice(file, ChunkNo(0), record)


def test_only_files_have_data_and_only_so_much(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    with refused(errno.EPERM):
        write(meta, ROOT, 0, 10)
    with refused(errno.EFBIG):
        write(meta, file, CHUNK_BYTES << 31, 10)
    with refused(errno.EFBIG):
        meta.truncate(file, (CHUNK_BYTES << 31) + 1)
    with refused(errno.EINVAL):
        meta.truncate(file, -1)
    with refused(errno.EPERM):
        meta.truncate(ROOT, 5)
    with refused(errno.ENOENT):
        meta.read_chunk(Ino(9999), ChunkNo(0))


def test_cutting_and_growing_hides_old_data_with_zeros(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    record = write(meta, file, 0, 1000)
    meta.truncate(file, 300)
    meta.truncate(file, 2000)
    records = meta.read_chunk(file, ChunkNo(0))
    assert records == (record, zeros(300, 700), zeros(300, 1700))
    assert [piece.id for piece in cover(records, 0, 2000)] == [record.id, 0]


def test_zeros_between_go_only_where_records_are(meta: Meta) -> None:
    """As JuiceFS lays them: the first chunk, those between that have records, the last."""
    file = meta.create(ROOT, b"f").ino
    for chunk in (0, 2, 5):
        write(meta, file, chunk * CHUNK_BYTES, 10)
    meta.truncate(file, 100)
    laid = {chunk.chunk_no: chunk.slices[1:] for chunk in meta.list_slices()}
    assert laid == {
        0: (zeros(100, CHUNK_BYTES - 100),),
        2: (zeros(0, CHUNK_BYTES),),
        5: (zeros(0, 10),),
    }
    meta.truncate(file, 3 * CHUNK_BYTES)
    laid = {chunk.chunk_no: chunk.slices[2:] for chunk in meta.list_slices()}
    assert laid == {0: (zeros(100, CHUNK_BYTES - 100),), 2: (zeros(0, CHUNK_BYTES),), 5: ()}


def test_a_truncate_to_the_same_length_changes_nothing(meta: Meta, clock: ManualClock) -> None:
    file = meta.create(ROOT, b"f").ino
    write(meta, file, 0, 10)
    before = meta.getattr(file)
    clock.advance(1)
    assert meta.truncate(file, 10) == before
    assert len(meta.read_chunk(file, ChunkNo(0))) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 60), st.integers(1, 20)),
        st.tuples(st.just("truncate"), st.integers(0, 80), st.just(0)),
    ),
    max_size=8,
)


@given(STEPS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reads_are_those_of_a_flat_file(meta: Meta, steps: list[tuple[str, int, int]]) -> None:
    """Offsets are scaled so that they reach over chunk borders."""
    scale = CHUNK_BYTES // 25
    file = meta.create(ROOT, b"flat").ino
    model: list[int] = []
    for kind, at, length in steps:
        if kind == "truncate":
            meta.truncate(file, at * scale)
            model = (model + [0] * at)[:at]
            continue
        model += [0] * (at + length - len(model))
        for unit in range(at, at + length):
            record = write(meta, file, unit * scale, scale) if _fits(unit, scale) else None
            model[unit] = 0 if record is None else record.id
            if record is None:
                meta.truncate(file, max(meta.getattr(file).length, (unit + 1) * scale))
    assert meta.getattr(file).length == len(model) * scale
    for unit, wanted in enumerate(model):
        if _fits(unit, scale):
            chunk_no, pos = divmod(unit * scale, CHUNK_BYTES)
            pieces = cover(meta.read_chunk(file, ChunkNo(chunk_no)), pos, pos + scale)
            assert [piece.id for piece in pieces if piece.id] == [wanted] * bool(wanted)
    meta.unlink(ROOT, b"flat")
    for deleted in meta.deleted_files():
        meta.release_deleted_file(deleted)


def _fits(unit: int, scale: int) -> bool:
    start = unit * scale
    return start // CHUNK_BYTES == (start + scale - 1) // CHUNK_BYTES


def test_the_highest_slice_number_bounds_what_was_given(meta: Meta) -> None:
    """Caches empty themselves when it falls: then metadata was rolled back."""
    assert meta.highest_slice_id() == 0
    given_ids = [meta.new_slice_id() for _ in range(3)]
    assert max(given_ids) <= meta.highest_slice_id()


def test_a_chunk_before_the_file_is_refused(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    with pytest.raises(InvalidArgument, match="before the file"):
        meta.write_slice(file, ChunkNo(-1), Slice(0, meta.new_slice_id(), 5, 0, 5))
    assert meta.read_chunk(file, ChunkNo(-1)) == ()
