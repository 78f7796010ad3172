"""Where a dump is written to and read from: a file, gzip by its name, or the standard streams.

A file appears under its name only when it is complete and durable.
"""

import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

_GZIP_MAGIC = b"\x1f\x8b"
_LEVEL = 6


@contextmanager
def dump_target(path: Path | None) -> Iterator[BinaryIO]:
    """Give a file to write a dump to; None is the standard output.

    Raises OSError of the local disk.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as raw:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        draft.rename(path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def dump_source(path: Path | None) -> Iterator[BinaryIO]:
    """Give a dump to read from, unpacked if it is gzip; None is the standard input."""
    if path is None:
        stream = sys.stdin.buffer
        yield unpacked(stream if isinstance(stream, io.BufferedReader) else _peekable(stream))
        return
    with path.open("rb") as raw:
        yield unpacked(raw)


def unpacked(raw: io.BufferedReader) -> BinaryIO:
    """Return what reads the file, through gzip if it begins so."""
    if raw.peek(2)[:2] == _GZIP_MAGIC:
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))
    return raw


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast("io.RawIOBase", stream))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
