"""`Files` that a test can make fail, hold up or watch, call by call."""

from collections.abc import Callable, Iterable
from pathlib import Path

from typing_extensions import Buffer

from roost.vector.files import AppendFile, Files

Hook = Callable[[str, str], None]
"""Told (verb, path) before each call; may raise, wait or do something of its own."""


class HookedFiles:
    """Passes every call on, after `hook` has seen it."""

    def __init__(self, inner: Files, hook: Hook) -> None:
        self._inner = inner
        self._hook = hook

    def create(self, path: str) -> AppendFile:
        """As in Files."""
        self._hook("create", path)
        return _HookedAppend(self._inner.create(path), path, self._hook)

    def write(self, path: str, pieces: Iterable[Buffer]) -> int:
        """As in Files."""
        self._hook("write", path)
        return self._inner.write(path, pieces)

    def adopt(self, local: Path, path: str) -> int:
        """As in Files."""
        self._hook("adopt", path)
        return self._inner.adopt(local, path)

    def open_local(self, path: str) -> Path:
        """As in Files."""
        self._hook("open_local", path)
        return self._inner.open_local(path)

    def read(self, path: str, offset: int = 0, size_bytes: int | None = None) -> bytes:
        """As in Files."""
        self._hook("read", path)
        return self._inner.read(path, offset, size_bytes)

    def size(self, path: str) -> int:
        """As in Files."""
        self._hook("size", path)
        return self._inner.size(path)

    def list(self, folder: str) -> "list[str]":
        """As in Files."""
        self._hook("list", folder)
        return self._inner.list(folder)

    def make_folder(self, folder: str, *, exclusive: bool = False) -> None:
        """As in Files."""
        self._hook("make_folder", folder)
        self._inner.make_folder(folder, exclusive=exclusive)

    def delete(self, path: str) -> None:
        """As in Files."""
        self._hook("delete", path)
        self._inner.delete(path)

    def delete_folder(self, folder: str) -> None:
        """As in Files."""
        self._hook("delete_folder", folder)
        self._inner.delete_folder(folder)

    def scratch(self) -> Path:
        """As in Files."""
        return self._inner.scratch()


class _HookedAppend:
    def __init__(self, inner: AppendFile, path: str, hook: Hook) -> None:
        self._inner, self._path, self._hook = inner, path, hook

    def append(self, data: Buffer) -> None:
        self._hook("append", self._path)
        self._inner.append(data)

    def sync(self) -> None:
        self._hook("sync", self._path)
        self._inner.sync()

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    def close(self) -> None:
        self._inner.close()
