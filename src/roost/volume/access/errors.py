"""The volume's refusals as Python's own: what `open` and `os` would raise.

An FsError says which errno POSIX gives.  A Python program catches FileNotFoundError, so at this
edge, and only here, the one becomes the other.  Failures and damage (Unavailable, StorageFull,
MissingBlock …) are no refusals of POSIX and pass as they are, with their hints.
"""

import contextlib
import errno
import os
from collections.abc import Iterator

from roost.errors import StorageFull
from roost.volume.errors import FsError


@contextlib.contextmanager
def as_os_errors(path: str | None = None, other: str | None = None) -> Iterator[None]:
    """Turn FsError into the OSError subclass of its errno, naming `path` and `other`.

    Raises FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError … and OSError;
    StorageFull becomes OSError ENOSPC.
    """
    try:
        yield
    except FsError as error:
        code = error.errno or errno.EIO
        raise OSError(code, os.strerror(code), path, None, other) from error
    except StorageFull as error:
        raise OSError(errno.ENOSPC, error.message, path, None, other) from error
