"""Index files: built once, opened by mapping.

offset  bytes  field (little endian)
     0      8  "ROOSTIDX"
     8      4  format version, 1
    12      4  crc32c of the 64 header bytes with this field zero
    16      8  length of the body, bytes
    24      4  crc32c of the body
    28      4  kind: 1 = HNSW
    32      4  metric: 1 = L2, 2 = IP, 3 = COSINE
    36      4  dim
    40      8  rows
    48      4  how the graph copies rows: 1 = floats, 2 = 16-bit floats, 3 = bytes
    52     12  zero
    64      …  the body: the graph as faiss writes it (`faiss::write_index`)

The file belongs to one segment, whose rows it was built from; they are not in it.
See docs/formats/index-file.md.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import faiss
import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.errors import CorruptRecord, NewerFormat
from roost.vector.api import IndexSpec
from roost.vector.index import hnsw
from roost.vector.index.searcher import Searcher, Vectors
from roost.vector.index.spec import Metric, plan_of

FORMAT_VERSION = 1

_MAGIC = b"ROOSTIDX"
_HEADER = struct.Struct("<8sIIQIIIIQI12x")
assert _HEADER.size == 64
_CRC_AT = 12
_CRC_BYTES = 4 << 20
_KIND_HNSW = 1
_METRICS = {Metric.L2: 1, Metric.IP: 2, Metric.COSINE: 3}


@dataclass(frozen=True, slots=True)
class _Header:
    body_bytes: int
    body_crc: int
    kind: int
    metric: int
    dim: int
    rows: int
    copies: int

    def pack(self) -> bytes:
        fields = (self.body_bytes, self.body_crc, self.kind, self.metric, self.dim, self.rows)
        raw = bytearray(_HEADER.pack(_MAGIC, FORMAT_VERSION, 0, *fields, self.copies))
        struct.pack_into("<I", raw, _CRC_AT, google_crc32c.value(bytes(raw)))
        return bytes(raw)


def build_file(spec: IndexSpec, vectors: Vectors, out: Path, *, threads: int = 1) -> None:
    """Build the index of `vectors` ((n, dim) float32) and store it as `out`, whole or not at all.

    Only for plans with `needs_file`, and at least one row.
    """
    plan = plan_of(spec)
    assert plan.needs_file
    faiss.omp_set_num_threads(threads)
    try:
        index, copies = hnsw.build(plan, vectors)
    finally:
        faiss.omp_set_num_threads(1)
    draft = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        _write(draft, index, plan.metric, copies, vectors)
        draft.rename(out)
    finally:
        draft.unlink(missing_ok=True)


def _write(
    draft: Path, index: faiss.Index, metric: Metric, copies: hnsw.Copies, vectors: Vectors
) -> None:
    body = draft.with_name(draft.name + ".body")
    try:
        faiss.write_index(index, str(body))
        raw = np.memmap(body, np.uint8, mode="r")
        rows, dim = vectors.shape
        crc = _crc_of(raw)
        header = _Header(raw.size, crc, _KIND_HNSW, _METRICS[metric], dim, rows, copies)
        with draft.open("xb") as file:
            file.write(header.pack())
            for start in range(0, raw.size, _CRC_BYTES):
                file.write(raw[start : start + _CRC_BYTES].data)
            file.flush()
            os.fsync(file.fileno())
    finally:
        body.unlink(missing_ok=True)


def open_file(path: Path, spec: IndexSpec, vectors: Vectors, *, verify: bool = True) -> Searcher:
    """Map an index file of `vectors`, the segment's own rows, which scores are computed from.

    `verify` reads the file once and checks its checksum (and so warms the page cache): about
    0.15 s for each GB that is in memory already.  Without it, damage inside the graph may end the
    process, so leave it out only for a file that this process has verified before.
    Raises CorruptRecord, NewerFormat.
    """
    raw = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    header = _read_header(str(path), raw)
    body = raw[_HEADER.size :]
    if body.size != header.body_bytes:
        raise CorruptRecord(str(path), f"{body.size} bytes of {header.body_bytes}")
    metric = plan_of(spec).metric
    if (header.rows, header.dim) != vectors.shape or header.metric != _METRICS[metric]:
        raise CorruptRecord(str(path), "it belongs to other vectors or another index")
    if verify and _crc_of(body) != header.body_crc:
        raise CorruptRecord(str(path), "the checksum of the body is wrong")
    index = _open_body(str(path), body)
    if (index.ntotal, index.d) != vectors.shape:
        raise CorruptRecord(str(path), "the graph has other rows than the header says")
    return hnsw.HnswSearcher(index, vectors, metric, keep=raw)


def _read_header(where: str, raw: npt.NDArray[np.uint8]) -> _Header:
    head = bytes(raw[: _HEADER.size])
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise CorruptRecord(where, "not an index file")
    _, version, crc, *fields = _HEADER.unpack(head)
    if version > FORMAT_VERSION:
        raise NewerFormat(where, version, FORMAT_VERSION)
    if google_crc32c.value(head[:_CRC_AT] + bytes(4) + head[_CRC_AT + 4 :]) != crc:
        raise CorruptRecord(where, "the checksum of the header is wrong")
    header = _Header(*fields)
    if header.kind != _KIND_HNSW:
        raise CorruptRecord(where, f"unknown kind {header.kind}")
    return header


def _open_body(where: str, body: npt.NDArray[np.uint8]) -> faiss.Index:
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(body), body.size)
    try:
        index = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise CorruptRecord(where, f"not a faiss index: {error}") from error
    if not isinstance(index, faiss.IndexHNSW):
        raise CorruptRecord(where, f"not a graph but {type(index).__name__}")
    return index


def _crc_of(raw: npt.NDArray[np.uint8]) -> int:
    crc = 0
    for start in range(0, raw.size, _CRC_BYTES):
        # An Arrow buffer is the one view that google_crc32c takes without a copy.
        crc = google_crc32c.extend(crc, pa.py_buffer(raw[start : start + _CRC_BYTES]))
    return crc
