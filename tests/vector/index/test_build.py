"""Index files: opened by mapping, refused when damaged or newer, readable for ever."""

import struct
from pathlib import Path

import faiss
import google_crc32c
import numpy as np
import numpy.typing as npt
import pytest

from roost.errors import CorruptRecord, NewerFormat
from roost.vector.api import IndexSpec
from roost.vector.index import ExactSearcher, build_file, open_file

Vectors = npt.NDArray[np.float32]
GOLDEN = Path(__file__).parent / "golden" / "hnsw-l2-format1.idx"
SPEC = IndexSpec("v", "v", "AUTOINDEX", "L2")


def golden_vectors() -> Vectors:
    """Return the rows that the golden file was built from."""
    grid = np.arange(64 * 4, dtype=np.float32).reshape(64, 4)
    return np.asarray((grid * 37) % 101, np.float32)


@pytest.fixture
def small() -> Vectors:
    return golden_vectors()


@pytest.fixture
def path(small: Vectors, tmp_path: Path) -> Path:
    build_file(SPEC, small, tmp_path / "index")
    return tmp_path / "index"


def test_a_file_appears_whole_with_nothing_beside_it(path: Path) -> None:
    assert [p.name for p in path.parent.iterdir()] == ["index"]


def test_a_failed_build_leaves_nothing(
    small: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_index: object, _path: str) -> None:
        Path(_path).write_bytes(b"half")
        raise RuntimeError("no space")

    monkeypatch.setattr(faiss, "write_index", fails)
    with pytest.raises(RuntimeError, match="no space"):
        build_file(SPEC, small, tmp_path / "index")
    assert not list(tmp_path.iterdir())


def test_an_opened_file_is_mapped_not_read(vectors: Vectors, tmp_path: Path) -> None:
    build_file(SPEC, vectors, tmp_path / "index")
    before = _anonymous_bytes()
    searcher = open_file(tmp_path / "index", SPEC, vectors)
    searcher.search(vectors[:1], 5)
    assert _anonymous_bytes() - before < (tmp_path / "index").stat().st_size / 2


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


def test_an_opened_file_answers_after_its_name_is_gone(path: Path, small: Vectors) -> None:
    searcher = open_file(path, SPEC, small)
    path.unlink()
    assert searcher.search(small[:2], 1)[1].tolist() == [[0], [1]]


def test_the_golden_file_of_format_1_opens() -> None:
    rows = golden_vectors()
    searcher = open_file(GOLDEN, SPEC, rows)
    assert searcher.rows == 64
    scores, offsets = searcher.search(rows[:8] + 0.25, 3)
    expected_scores, expected = ExactSearcher(rows, "L2").search(rows[:8] + 0.25, 3)
    assert offsets.tolist() == expected.tolist()
    np.testing.assert_array_equal(scores, expected_scores)


def test_the_golden_files_graph_itself_opens() -> None:
    # So small a segment is scanned; this asks the graph.
    from roost.vector.index import hnsw

    searcher = open_file(GOLDEN, SPEC, golden_vectors())
    assert isinstance(searcher, hnsw.HnswSearcher)
    offsets = searcher._walk(golden_vectors()[:8], 1, 64, None)
    assert offsets[:, 0].tolist() == list(range(8))


@pytest.mark.parametrize("kept", [0, 10, 63, 64, 200, -1])
def test_a_truncated_file_is_damage(path: Path, small: Vectors, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptRecord, match="index"):
        open_file(path, SPEC, small)


def test_every_flipped_bit_is_noticed(path: Path, small: Vectors) -> None:
    good = path.read_bytes()
    places = [*range(64), *range(64, len(good), 211), len(good) - 1]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << (place % 8)
        path.write_bytes(bad)
        with pytest.raises((CorruptRecord, NewerFormat)):
            open_file(path, SPEC, small)


def test_a_longer_file_is_damage(path: Path, small: Vectors) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CorruptRecord):
        open_file(path, SPEC, small)


def test_a_newer_file_is_refused_by_name(path: Path, small: Vectors) -> None:
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 8, 2)
    path.write_bytes(raw)
    with pytest.raises(NewerFormat, match="format version 2, this Roost knows up to 1"):
        open_file(path, SPEC, small)


def test_a_file_of_other_rows_or_another_metric_is_refused(path: Path, small: Vectors) -> None:
    with pytest.raises(CorruptRecord, match="belongs to other vectors"):
        open_file(path, SPEC, small[:-1])
    with pytest.raises(CorruptRecord, match="belongs to other vectors"):
        open_file(path, IndexSpec("v", "v", "AUTOINDEX", "IP"), small)


def test_a_body_that_is_no_graph_is_damage(path: Path, small: Vectors) -> None:
    flat = faiss.IndexFlatL2(4)
    flat.add(small)
    for body in (b"garbage!" * 20, faiss.serialize_index(flat).tobytes()):
        raw = bytearray(path.read_bytes()[:64]) + body
        struct.pack_into("<QI", raw, 16, len(body), google_crc32c.value(body))
        struct.pack_into("<I", raw, 12, 0)
        struct.pack_into("<I", raw, 12, google_crc32c.value(bytes(raw[:64])))
        path.write_bytes(raw)
        with pytest.raises(CorruptRecord):
            open_file(path, SPEC, small)
