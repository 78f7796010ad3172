"""What the fsspec file system is made of: descriptions, ranges, many reads at a time."""

import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from roost.errors import RoostError
from roost.volume.access.raw import RawFile
from roost.volume.access.volume import Volume

READ_THREADS = 16
"""How many files or ranges one `cat` or `cat_ranges` reads at a time."""

T = TypeVar("T")
Info = dict[str, Any]
"""fsspec's description of a path; the keys are said in `info_of`."""


def info_of(volume: Volume, path: str, found: os.stat_result) -> Info:
    """Return fsspec's description of a path, from its own (lstat) attributes.

    A symbolic link has the type and size of what it leads to, islink, and its destination; one that
    leads nowhere is of the type "link" and has no bytes.
    """
    info: Info = {"name": path, "islink": stat.S_ISLNK(found.st_mode)}
    if info["islink"]:
        info["destination"] = volume.readlink(path)
        if not volume.exists(path):
            return _filled(info, found, "link", 0)
        found = volume.stat(path)
    if stat.S_ISDIR(found.st_mode):
        return _filled(info, found, "directory", 0)
    kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    return _filled(info, found, kind, found.st_size)


def _filled(info: Info, found: os.stat_result, kind: str, size_bytes: int) -> Info:
    info.update(
        type=kind,
        size=size_bytes,
        mode=found.st_mode,
        uid=found.st_uid,
        gid=found.st_gid,
        ino=found.st_ino,
        nlink=found.st_nlink,
        mtime=found.st_mtime,
        created=found.st_ctime,
    )
    return info


def ranges_of(paths: list[Any], starts: Any, ends: Any) -> list[tuple[Any, Any, Any]]:
    """Return (path, start, end) of each range; a single start or end is that of all.

    Raises TypeError, ValueError.
    """
    if not isinstance(paths, list):
        raise TypeError("paths must be a list")
    firsts = starts if isinstance(starts, list) else [starts] * len(paths)
    lasts = ends if isinstance(ends, list) else [ends] * len(paths)
    if len(firsts) != len(paths) or len(lasts) != len(paths):
        raise ValueError("paths, starts and ends differ in length")
    return list(zip(paths, firsts, lasts, strict=True))


def read_range(raw: RawFile, start: int | None, end: int | None) -> bytes:
    """Return the bytes of a file as the slice [start:end] of its content."""
    length = raw.length() if end is None or end < 0 or (start or 0) < 0 else None
    if length is None:
        assert end is not None
        first, last = start or 0, end
    else:
        first, last, _ = slice(start, end).indices(length)
    return raw.pread(first, max(0, last - first))


def together(calls: Sequence[Callable[[], T]], keep_errors: bool) -> list[T | Exception]:
    """Return the answers of all calls in their order, made on a few threads.

    With `keep_errors` a call that raised is answered by its exception; else the first is raised.
    """
    if not calls:
        return []

    def one(call: Callable[[], T]) -> T | Exception:
        try:
            return call()
        except (OSError, RoostError) as error:
            if not keep_errors:
                raise
            return error

    with ThreadPoolExecutor(min(READ_THREADS, len(calls)), "roost-cat") as pool:
        return list(pool.map(one, calls))
