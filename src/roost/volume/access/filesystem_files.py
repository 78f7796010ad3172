"""The file objects that the fsspec file system hands out."""

import contextlib
import io
import stat
from typing import TYPE_CHECKING

from roost.volume.access.copying import behind_links, draft_of
from roost.volume.access.errors import as_os_errors
from roost.volume.access.opening import BUFFER_BYTES
from roost.volume.access.raw import RawFile
from roost.volume.access.volume import Volume

if TYPE_CHECKING:
    from roost.volume.access.filesystem import RoostFileSystem


_NEW_MODE = 0o644


class ReadingFile(io.BufferedReader):
    """A file opened for reading, with what fsspec's callers ask of one: `path`, `fs`, `size`."""

    def __init__(
        self, fs: "RoostFileSystem", raw: RawFile, path: str, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        super().__init__(raw, buffer_bytes)
        self.fs = fs
        self.path = path
        fs.volume.watch(self)

    @property
    def size(self) -> int:
        """The file's bytes now."""
        raw = self.raw
        assert isinstance(raw, RawFile)
        return raw.length()


class WritingFile(io.BufferedWriter):
    """A file opened for writing at once, outside of a transaction."""

    def __init__(
        self, fs: "RoostFileSystem", raw: RawFile, path: str, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        super().__init__(raw, buffer_bytes)
        self.fs = fs
        self.path = path
        fs.volume.watch(self)

    def commit(self) -> None:
        """Nothing to do: what was closed is there."""

    def discard(self) -> None:
        """Nothing to do: what was written cannot be taken back."""


class DeferredFile(io.BufferedWriter):
    """A file of a transaction: written beside its place, and renamed to it by `commit`.

    A file that it replaces hands its mode on; a symbolic link is followed and stays.
    """

    def __init__(
        self,
        fs: "RoostFileSystem",
        volume: Volume,
        path: str,
        mode: str,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Raise FileExistsError at once if `mode` is "x" and the name is taken."""
        if "x" in mode and volume.lexists(path):
            raise FileExistsError(path)
        self._volume = volume
        with as_os_errors(path):
            self._place = behind_links(volume, path)
        self._draft = draft_of(self._place)
        self._is_new = "x" in mode
        permissions = _NEW_MODE
        if volume.exists(self._place):
            permissions = stat.S_IMODE(volume.stat(self._place).st_mode)
            if "a" in mode:
                volume.copy(self._place, self._draft)
        raw = volume.open_raw(self._draft, "ab", permissions=permissions)
        super().__init__(raw, buffer_bytes)
        self.fs = fs
        self.path = path

    def commit(self) -> None:
        """Close the file and give it its name.  Raises OSError, FileExistsError."""
        self.close()
        try:
            self._volume.rename(self._draft, self._place, replace=not self._is_new)
        except BaseException:
            with contextlib.suppress(OSError):
                self._volume.remove(self._draft)
            raise

    def discard(self) -> None:
        """Forget what was written."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(FileNotFoundError):
            self._volume.remove(self._draft)
