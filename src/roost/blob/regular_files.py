"""Opening files of a folder in which others may have put anything.

A FIFO makes an ordinary open wait for ever and a device may do anything: neither is a stored file.
"""

import errno
import os
import stat
from pathlib import Path


def open_regular(path: Path, *, follow_links: bool = False) -> int:
    """Return a descriptor to read `path`.

    Raises OSError, also if it is not a regular file (EINVAL, EISDIR), or a symbolic link that is
    not to be followed: such a one leads out of the folder.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Not a regular file", str(path))
