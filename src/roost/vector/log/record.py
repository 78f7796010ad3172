"""One record of the log, in memory and as bytes.

    offset  bytes  field (little endian)
         0      4  magic "RLG1": the last character is the format version
         4      4  crc32c of bytes 8 … 48 and the payload
         8      8  payload length, bytes
        16      8  generation of the writer
        24      8  timestamp (hybrid); rises strictly from record to record
        32      8  collection id
        40      4  partition id (low 32 bits); 0 in a DELETE means all partitions
        44      2  kind
        46      2  zero
        48      …  payload, then zeros up to a multiple of 64

Payload: INSERT and UPSERT the rows (`columns.encode_rows`, primary key included); DELETE one
column of primary keys in the same encoding; BARRIER JSON that names a catalog change already committed.
An UPSERT deletes its primary keys at its own timestamp, and its rows are not touched by that
(`row_ts < delete_ts` is false), so one record is one instant.
"""

import enum
from dataclasses import dataclass

import pyarrow as pa


class RecordKind(enum.IntEnum):
    """What a record does."""

    INSERT = 1
    DELETE = 2
    UPSERT = 3
    BARRIER = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One change, as it was logged."""

    kind: RecordKind
    generation: int
    timestamp: int
    collection_id: int
    partition_id: int
    payload: pa.Buffer
