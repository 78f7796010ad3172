"""Failures of the volume that its callers tell apart."""

import errno as codes
import os

from roost.errors import CorruptRecord, Failure, Refusal
from roost.volume.model import Ino


class FsError(Refusal, OSError):
    """The file system refuses, with the errno that POSIX gives for it.  Expected, so not logged."""

    def __init__(self, errno: int, ino: int = 0, name: bytes = b"") -> None:
        OSError.__init__(self, errno, os.strerror(errno))
        where = f"inode {ino}" if ino else ""
        if name:
            shown = os.fsdecode(name)
            where = f"{where} {shown!r}".strip()
        self.message = f"{os.strerror(errno)}: {where}" if where else os.strerror(errno)
        self.ino = Ino(ino)
        self.name = name

    def __reduce__(self) -> tuple[type["FsError"], tuple[int, int, bytes]]:
        # OSError's own pickling would call the class with (errno, text).
        return type(self), (self.errno or codes.EIO, self.ino, self.name)


class NotFormatted(Refusal):
    """The database holds no volume."""

    hint = "Make one with `roost format META-URL NAME`."


class AlreadyFormatted(Refusal):
    """The database holds a volume already."""

    hint = "Use another database; nothing was changed."


class VolumeReplaced(Failure):
    """The database now holds another volume than the one that was opened."""

    hint = "Stop this client and open the volume again."


class InodeTaken(CorruptRecord):
    """A node to be added is there already: its number was given twice.  Nothing was changed."""

    def __init__(self, place: str, ino: int) -> None:
        super().__init__(f"{place}: inode {ino}", "it exists already; nothing was changed")
        self.ino = Ino(ino)
