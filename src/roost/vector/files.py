"""What the engine asks of a file system, and the reference: a plain directory.

Paths are relative, with "/", and never climb ("..").  A file is written once: either whole
(`write`, `adopt`) and then finished for ever, or by appending through the one `AppendFile` that
created it (a log file).  `open_local` hands out finished files only.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from typing_extensions import Buffer

from roost.errors import AlreadyExists, NotFound


class AppendFile(Protocol):
    """A file that only its creator writes, and only at its end."""

    def append(self, data: Buffer) -> None:
        """Add `data`; others may see it before `sync`, and it may be lost until then."""
        ...

    def sync(self) -> None:
        """Make everything appended so far durable and visible to other members.

        Raises StorageFull, Failure: then what was appended since the last sync may or may not
        be stored, and the file must not be appended to again.
        """
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes appended so far."""
        ...

    def close(self) -> None:
        """Release it without another sync."""
        ...


class Files(Protocol):
    """About ten verbs.  Errors: NotFound, AlreadyExists, StorageFull, MissingBlock, Failure."""

    def create(self, path: str) -> AppendFile:
        """Make a new file for appending, and its folders.  Raises AlreadyExists."""
        ...

    def write(self, path: str, pieces: Iterable[Buffer]) -> int:
        """Store a whole file durably; it appears complete or not at all.  Returns its bytes."""
        ...

    def adopt(self, local: Path, path: str) -> int:
        """Store the finished local file as `path` durably, and keep it as the local copy.

        `local` must not be used afterwards: it may have been moved.  Returns its bytes.
        """
        ...

    def open_local(self, path: str) -> Path:
        """Return a path on a local disk with the finished file's bytes, fit for `mmap`.

        The first call may copy the file; later calls are cheap.  Raises NotFound, Damage.
        """
        ...

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """Return bytes of a file, also of a log still being appended to (what was synced).

        Short at the end of the file.
        """
        ...

    def size(self, path: str) -> int:
        """Return the bytes of the file that readers can see now.  Raises NotFound."""
        ...

    def list(self, folder: str) -> list[str]:
        """Return the sorted names in a folder; empty if there is no such folder."""
        ...

    def make_folder(self, folder: str, *, exclusive: bool = False) -> None:
        """Make a folder and those above it durably.  Raises AlreadyExists if `exclusive`."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; silently nothing if it is not there."""
        ...

    def delete_folder(self, folder: str) -> None:
        """Remove a folder and all in it; silently nothing if it is not there."""
        ...

    def scratch(self) -> Path:
        """Return a local folder, private to this process, for files about to be adopted."""
        ...


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable.  Source: fsync(2), on directories."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryFiles:
    """`Files` in a plain local directory: the reference implementation."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scratch = root / ".scratch" / uuid.uuid4().hex
        self._scratch.mkdir(parents=True)

    def _path(self, path: str) -> Path:
        assert not path.startswith("/"), path
        assert ".." not in path.split("/"), path
        return self._root / path

    def create(self, path: str) -> AppendFile:
        """As in Files."""
        target = self._path(path)
        self._make_parents(target)
        try:
            return _DirectoryAppend(target)
        except FileExistsError:
            raise AlreadyExists(path) from None

    def write(self, path: str, pieces: Iterable[Buffer]) -> int:
        """As in Files."""
        local = self._scratch / uuid.uuid4().hex
        with local.open("xb") as out:
            for piece in pieces:
                out.write(piece)
        return self.adopt(local, path)

    def adopt(self, local: Path, path: str) -> int:
        """As in Files."""
        target = self._path(path)
        self._make_parents(target)
        with local.open("rb+") as file:
            os.fsync(file.fileno())
        size_bytes = local.stat().st_size
        try:
            local.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(local, target)
        sync_folder(target.parent)
        return size_bytes

    def open_local(self, path: str) -> Path:
        """As in Files."""
        target = self._path(path)
        if not target.is_file():
            raise NotFound(path)
        return target

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """As in Files."""
        try:
            with self._path(path).open("rb") as file:
                file.seek(offset)
                return file.read(-1 if size_bytes is None else size_bytes)
        except FileNotFoundError:
            raise NotFound(path) from None

    def size(self, path: str) -> int:
        """As in Files."""
        try:
            return self._path(path).stat().st_size
        except FileNotFoundError:
            raise NotFound(path) from None

    def settle(self, path: str) -> None:
        """Make what readers see of a file durable, though another process wrote it.

        A killed writer's appends live in the page cache: a take-over must not count on them before.
        Source: fsync(2), which takes any descriptor of the file.
        """
        with self._path(path).open("rb") as file:
            os.fsync(file.fileno())

    def list(self, folder: str) -> list[str]:
        """As in Files."""
        try:
            return sorted(n for n in os.listdir(self._path(folder)) if not n.startswith("."))
        except FileNotFoundError:
            return []

    def make_folder(self, folder: str, *, exclusive: bool = False) -> None:
        """As in Files."""
        target = self._path(folder)
        self._make_parents(target)
        try:
            target.mkdir(exist_ok=not exclusive)
        except FileExistsError:
            raise AlreadyExists(folder) from None
        sync_folder(target.parent)

    def delete(self, path: str) -> None:
        """As in Files."""
        self._path(path).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        """As in Files."""
        shutil.rmtree(self._path(folder), ignore_errors=True)

    def scratch(self) -> Path:
        """As in Files."""
        return self._scratch

    def _copy(self, local: Path, target: Path) -> None:
        """Store a file of another file system; the copy must be as durable as a rename's."""
        copy = target.with_name(f".{target.name}.tmp")
        with local.open("rb") as source, copy.open("wb") as out:
            shutil.copyfileobj(source, out)
            out.flush()
            os.fsync(out.fileno())
        copy.rename(target)
        local.unlink()

    def _make_parents(self, target: Path) -> None:
        missing = [p for p in target.parents if not p.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)


class _DirectoryAppend:
    def __init__(self, target: Path) -> None:
        self._file = target.open("xb", buffering=0)
        self._size_bytes = 0
        sync_folder(target.parent)

    def append(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        while view:  # a raw write may be short
            written = self._file.write(view)
            assert written is not None
            self._size_bytes += written
            view = view[written:]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def close(self) -> None:
        self._file.close()
