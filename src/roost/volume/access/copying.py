"""Whole files inside a volume: written in one step, copied, cloned."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

from typing_extensions import Buffer

from roost.errors import RoostError
from roost.volume.errors import FsError
from roost.volume.meta.answers import CloneOptions

if TYPE_CHECKING:
    from roost.volume.access.volume import Volume


LINKS_MAX = 40  # in a row, as in Linux


def draft_of(path: str) -> str:
    """Return a name beside `path` that nobody has, for a file that is not complete yet."""
    folder, slash, _ = path.rstrip("/").rpartition("/")
    return f"{folder}{slash}.roost.{uuid4().hex}.tmp"


def behind_links(volume: "Volume", path: str) -> str:
    """Return the path that symbolic links at the end of `path` lead to, be there a file or not.

    Raises FsError ELOOP.
    """
    for _ in range(LINKS_MAX):
        if not volume.is_symlink(path):
            return path
        path = os.path.join(os.path.dirname(path) or "/", volume.client.readlink(path))
    raise FsError(errno.ELOOP, name=os.fsencode(path))


def write_whole(volume: "Volume", path: str, data: Buffer, *, replace: bool) -> int:
    """Make `data` the content of `path`, complete or not at all; return its bytes.

    A file that is replaced hands its mode on; through a symbolic link it is written where it is,
    which is not one step.  Raises FsError EEXIST unless it may be.
    """
    client = volume.client
    draft = draft_of(path)
    mode = 0o644
    if volume.lexists(path):
        if not replace:
            raise FsError(errno.EEXIST, name=os.fsencode(path))
        if volume.is_symlink(path):
            client.write(path, data)
            return memoryview(data).nbytes
        mode = client.stat(path).mode
    with _removed_on_failure(volume, draft):
        with client.open_file(draft, "x", permissions=mode) as file:
            size_bytes = file.write(data)
        client.rename(draft, path, replace=replace)
    return size_bytes


def copy_file(volume: "Volume", source: str, target: str) -> int:
    """Copy a file with mode, owner and times, its blocks shared; return its bytes."""
    client = volume.client
    source = behind_links(volume, source)
    attr = client.stat(source)
    if not attr.is_file:
        raise FsError(errno.EISDIR if attr.is_directory else errno.EINVAL, name=os.fsencode(source))
    draft = draft_of(target)
    with _removed_on_failure(volume, draft):
        client.clone(source, draft, options=CloneOptions(preserve=True))
        client.rename(draft, target)
    return attr.length


@contextlib.contextmanager
def _removed_on_failure(volume: "Volume", draft: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(RoostError, OSError):  # what went wrong first is what counts
            volume.client.remove(draft, skip_trash=True)
        raise
