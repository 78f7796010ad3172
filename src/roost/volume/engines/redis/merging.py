"""What the commit script does to attributes, done here; and the forms of words and replies."""

import struct
from collections.abc import Iterator
from typing import Any

from roost.volume.engines.redis.encode import Word

_TIME = struct.Struct(">qI")
_COUNT = struct.Struct(">I")


def changed(stored: bytes, words: tuple[Word, ...]) -> bytes:
    """Do to attributes what the script does."""
    v = bytearray(stored if len(stored) >= 71 else stored[:63] + bytes(8))
    if len(v) == 71:
        v.append(0)
    before = bytes(v[23:35])
    for what, word in pairs(words):
        new = as_bytes(word)
        match what:
            case "nlink by":
                (count,) = _COUNT.unpack_from(v, 47)
                v[47:51] = _COUNT.pack(max(count + int(word), 0))
            case "mtime at least":
                v[23:35] = max(bytes(v[23:35]), new, key=_TIME.unpack)
            case "ctime at least":
                v[35:47] = max(bytes(v[35:47]), new, key=_TIME.unpack)
            case "mtime":
                v[23:35] = new
            case "data time":
                v[23:35] = _next_ns(new) if new == before else new
            case "length":
                v[51:59] = new
            case "length at least":
                v[51:59] = max(bytes(v[51:59]), new)
            case "identity":
                v[:11] = new
            case "atime":
                v[11:23] = new
            case "parent":
                v[63:71] = new
            case _:
                assert what == "rest", what
                v[71:] = new
    return bytes(v)


def _next_ns(time_raw: bytes) -> bytes:
    seconds, ns = _TIME.unpack(time_raw)
    return _TIME.pack(*divmod(seconds * 1_000_000_000 + ns + 1, 1_000_000_000))


def pairs(flat: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a flat list two by two."""
    return zip(flat[::2], flat[1::2], strict=True)


def as_bytes(word: Word) -> bytes:
    """Return a word as it is sent."""
    if isinstance(word, bytes):
        return word
    return str(word).encode()


def as_text(word: Any) -> str:
    """Return a word or reply as text."""
    return word.decode() if isinstance(word, bytes) else str(word)
