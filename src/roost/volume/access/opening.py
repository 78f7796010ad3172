"""`open`'s modes, and the layers that Python puts on a raw file.  Source: io.open."""

import io
from typing import IO, Any, cast

from roost.sizes import MIB
from roost.volume.access.raw import RawFile
from roost.volume.client import Mode

BUFFER_BYTES = MIB
"""A read of a raw file asks the metadata for its length: small reads are served from a buffer."""


def client_mode(mode: str) -> Mode:
    """Return the volume's word for a mode of `open`: "rb+" is "r+".

    Raises ValueError as `open` does.
    """
    given = set(mode)
    if given - set("rwxabt+") or len(mode) > len(given):
        raise ValueError(f"invalid mode: {mode!r}")
    verbs = given & set("rwxa")
    if len(verbs) != 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if {"b", "t"} <= given:
        raise ValueError("can't have text and binary mode at once")
    return cast("Mode", verbs.pop() + ("+" if "+" in given else ""))


def check_layers(
    mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> None:
    """Raise ValueError for a combination that `open` refuses, before anything is opened."""
    if "b" in mode:
        for value, name in ((encoding, "encoding"), (errors, "errors"), (newline, "newline")):
            if value is not None:
                raise ValueError(f"binary mode doesn't take a {name} argument")
    elif buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    if newline not in (None, "", "\n", "\r", "\r\n"):
        raise ValueError(f"illegal newline value: {newline!r}")


def layered(
    raw: RawFile,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> IO[Any]:
    """Return `raw` behind a buffer and, in text mode, a decoder, as `open` would."""
    if buffering == 0:
        return cast("IO[Any]", raw)
    by_line = buffering == 1 and "b" not in mode
    size_bytes = buffering if buffering > 1 else BUFFER_BYTES
    buffered: io.BufferedReader | io.BufferedWriter | io.BufferedRandom
    if "+" in mode:
        buffered = io.BufferedRandom(raw, size_bytes)
    elif "r" in mode:
        buffered = io.BufferedReader(raw, size_bytes)
    else:
        buffered = io.BufferedWriter(raw, size_bytes)
    if "b" in mode:
        return buffered
    text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, by_line)
    text.mode = mode  # type: ignore[misc]  # as `open` does
    return text
