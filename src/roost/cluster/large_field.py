"""Messages of protobuf with one large field, written and read by hand.

protobuf copies such a field three times each way; here it is copied once into the message and not
at all out of it.  The bytes are those of protobuf, the large field last.
Source: protobuf's encoding specification (varints, length-delimited fields).
"""

import pyarrow as pa

from roost.errors import CorruptRecord

_LENGTH_DELIMITED = 2
_VARINT = 0
_FIXED_BYTES = {1: 8, 5: 4}
_MORE = 0x80
ALIGNMENT_BYTES = 16


def put_varint(number: int) -> bytes:
    """Return a non-negative number as protobuf writes it."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def get_varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and the place after it; beyond the end if none ends there."""
    number = shift = 0
    for place in range(at, min(at + 10, len(raw))):
        number |= (raw[place] & (_MORE - 1)) << shift
        if raw[place] < _MORE:
            return number, place + 1
        shift += 7
    return 0, len(raw) + 1


def with_large_field(small: bytes, field: int, large: pa.Buffer, pad_field: int) -> bytes:
    """Return the message of the fields in `small` and, last, `large` as field number `field`.

    Field number `pad_field` is filled so that `large` begins at a multiple of `ALIGNMENT_BYTES`:
    the data of a large bytes object begins at one too, and Arrow computes on it where it lies.
    """
    head = put_varint(field << 3 | _LENGTH_DELIMITED) + put_varint(large.size)
    pad_tag = put_varint(pad_field << 3 | _LENGTH_DELIMITED)
    place = len(small) + len(pad_tag) + 1 + len(head)
    pad = bytes(-place % ALIGNMENT_BYTES)
    return b"".join((small, pad_tag, put_varint(len(pad)), pad, head, memoryview(large)))


def without_large_field(raw: bytes, field: int) -> tuple[bytes, pa.Buffer]:
    """Return the other fields as a message, and what field number `field` has (empty if absent).

    The buffer points into `raw`.  Raises CorruptRecord if `raw` is no message of this kind.
    """
    at, kept, large = 0, [], pa.py_buffer(b"")
    while at < len(raw):
        start = at
        tag, at = get_varint(raw, at)
        if tag & 7 == _LENGTH_DELIMITED:
            length, at = get_varint(raw, at)
            begin, at = at, at + length
            if tag >> 3 == field and at <= len(raw):
                large = pa.py_buffer(raw).slice(begin, length)
                continue
        elif tag & 7 == _VARINT:
            _, at = get_varint(raw, at)
        elif tag & 7 in _FIXED_BYTES:
            at += _FIXED_BYTES[tag & 7]
        else:
            raise CorruptRecord("message", f"a field of wire type {tag & 7}")
        if at > len(raw):
            raise CorruptRecord("message", "a field is cut off")
        kept.append(raw[start:at])
    return b"".join(kept), large
