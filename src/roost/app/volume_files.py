"""The engine's `Files` over the volume's in-process client: neither FUSE nor privileges needed.

All lies below one folder of the volume, which carries the skip-trash flag: what the engine deletes
is deleted, since its manifests and grace times are its own trash, and a log in the trash would keep
its slices (H17).  A log file is written only by the `AppendFile` that created it.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from typing_extensions import Buffer

from roost.errors import AlreadyExists, InvalidArgument, NotFound, RoostError, StorageFull
from roost.vector.files import AppendFile
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.model import AttrChange, Flag
from roost.volume.vfs.handles import VolumeFile


class VolumeFiles:
    """`Files` below the folder `root` of a volume.  Safe to use from several threads."""

    def __init__(self, client: VolumeClient, root: str = "/", scratch: Path | None = None) -> None:
        """Use `root`, made if the client may write.  The client stays the caller's to close.

        `scratch` is a local folder for files about to be adopted, best on the disk of the
        client's cache folder, since they are moved there; default: the system's.
        """
        self._client = client
        self._root = root.strip("/")
        self._scratch_in = scratch
        self._scratch: Path | None = None
        if not client.meta.is_read_only and self._root:
            client.mkdir(self._root, parents=True, exist_ok=True)
            flags = client.stat(self._root).flags
            if not flags & Flag.SKIP_TRASH:
                client.setattr(self._root, AttrChange(flags=flags | Flag.SKIP_TRASH))

    def create(self, path: str) -> AppendFile:
        """As in Files."""
        target = self._path(path)
        with _plainly(path):
            self._make_parents(target)
            return _VolumeAppend(self._client.open_file(target, "x"), path)

    def write(self, path: str, pieces: Iterable[Buffer]) -> int:
        """As in Files."""
        target = self._path(path)
        folder, _, name = target.rpartition("/")
        draft = f"{folder}/.{name[:80]}.{uuid4().hex}.tmp"
        with _plainly(path):
            self._make_parents(target)
            file = self._client.open_file(draft, "x")
            try:
                size_bytes = 0
                for piece in pieces:
                    file.append(piece)
                    size_bytes += memoryview(piece).nbytes
                file.close()
                self._client.rename(draft, target)
            except BaseException:
                file.discard()
                with contextlib.suppress(RoostError):  # what went wrong first is what counts
                    self._client.remove(draft, skip_trash=True)
                raise
        return size_bytes

    def adopt(self, local: Path, path: str) -> int:
        """As in Files."""
        target = self._path(path)
        with _plainly(path):
            self._make_parents(target)
            return self._client.adopt(local, target)

    def open_local(self, path: str) -> Path:
        """As in Files."""
        with _plainly(path):
            return self._client.open_local(self._path(path))

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """As in Files."""
        with _plainly(path):
            return self._client.read(self._path(path), offset, size_bytes)

    def size(self, path: str) -> int:
        """As in Files."""
        with _plainly(path):
            return self._client.meta.resolve(self._path(path)).attr.length

    def list(self, folder: str) -> list[str]:
        """As in Files."""
        with _plainly(folder):
            try:
                names = self._client.listdir(self._path(folder))
            except FsError as error:
                if error.errno == errno.ENOENT:
                    return []
                raise
        return sorted(name for name in names if not name.startswith("."))

    def make_folder(self, folder: str, *, exclusive: bool = False) -> None:
        """As in Files."""
        target = self._path(folder)
        with _plainly(folder):
            self._make_parents(target)
            self._client.mkdir(target, exist_ok=not exclusive)

    def delete(self, path: str) -> None:
        """As in Files."""
        with _plainly(path), _absent_is_fine():
            self._client.remove(self._path(path), skip_trash=True)

    def delete_folder(self, folder: str) -> None:
        """As in Files."""
        with _plainly(folder), _absent_is_fine():
            self._client.remove_tree(self._path(folder), skip_trash=True)

    def scratch(self) -> Path:
        """As in Files."""
        if self._scratch is None:
            if self._scratch_in is not None:
                self._scratch_in.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(tempfile.mkdtemp(prefix="roost-scratch-", dir=self._scratch_in))
        return self._scratch

    def close(self) -> None:
        """Remove the scratch folder; the client stays open."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _path(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise InvalidArgument(f"{path!r} is not a path below the engine's folder")
        return f"/{self._root}/{path}" if self._root else f"/{path}"

    def _make_parents(self, target: str) -> None:
        folder = os.path.dirname(target)
        if folder != "/" and not self._client.exists(folder):
            self._client.mkdir(folder, parents=True, exist_ok=True)


class _VolumeAppend:
    """A log file: each sync is one object per touched block and one metadata commit."""

    def __init__(self, file: VolumeFile, path: str) -> None:
        self._file = file
        self._path = path
        self._size_bytes = 0

    def append(self, data: Buffer) -> None:
        with _plainly(self._path):
            self._file.pwrite(self._size_bytes, data)
        self._size_bytes += memoryview(data).nbytes

    def sync(self) -> None:
        with _plainly(self._path):
            self._file.fsync()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def close(self) -> None:
        self._file.discard()


@contextlib.contextmanager
def _plainly(path: str) -> Iterator[None]:
    """Turn the volume's refusals into the words of `Files`."""
    try:
        yield
    except FsError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(path) from error
        if error.errno == errno.EEXIST:
            raise AlreadyExists(path) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{path}: {error}") from error
        raise


@contextlib.contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except FsError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
