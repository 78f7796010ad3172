"""The file objects that the fsspec file system hands out."""

import contextlib
import io
from typing import TYPE_CHECKING

from roost.volume.access.copying import draft_of
from roost.volume.access.opening import BUFFER_BYTES
from roost.volume.access.raw import RawFile
from roost.volume.access.volume import Volume

if TYPE_CHECKING:
    from roost.volume.access.filesystem import RoostFileSystem


class ReadingFile(io.BufferedReader):
    """A file opened for reading, with what fsspec's callers ask of one: `path`, `fs`, `size`."""

    def __init__(
        self, fs: "RoostFileSystem", raw: RawFile, path: str, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        super().__init__(raw, buffer_bytes)
        self.fs = fs
        self.path = path

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

    def commit(self) -> None:
        """Nothing to do: what was closed is there."""

    def discard(self) -> None:
        """Nothing to do: what was written cannot be taken back."""


class DeferredFile(io.BufferedWriter):
    """A file of a transaction: written beside its place, and renamed to it by `commit`."""

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
        self._draft = draft_of(path)
        self._is_new = "x" in mode
        if "a" in mode and volume.exists(path):
            volume.copy(path, self._draft)
        super().__init__(volume.open_raw(self._draft, "ab"), buffer_bytes)
        self.fs = fs
        self.path = path

    def commit(self) -> None:
        """Close the file and give it its name.  Raises OSError, FileExistsError."""
        self.close()
        try:
            self._volume.rename(self._draft, self.path, replace=not self._is_new)
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
