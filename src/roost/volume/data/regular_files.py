"""Opening files of a cache folder, where others may have put anything.

A FIFO makes an ordinary open wait for ever, a device may do anything, and a symbolic link leads out
of the folder: none of them is a cached file.
"""

import errno
import os
import stat
from pathlib import Path


def open_regular(path: Path) -> int:
    """Return a descriptor to read `path`.  Raises OSError, also if it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", str(path))
