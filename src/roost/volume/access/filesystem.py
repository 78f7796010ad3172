"""The volume as an fsspec file system: protocols `roost` and `jfs`.

    import fsspec

    fs = fsspec.filesystem("roost", meta="redis://localhost/1")
    fs.find("/photos")
    fsspec.open("roost:///notes/today.txt", "w", meta="redis://localhost/1")

How a URL names its volume is said in `places`.  Nothing is cached here: every answer is the
volume's of this moment.  Signatures, with their `**kwargs` and dictionaries, are fsspec's.
"""

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from roost.volume.access import places, shared
from roost.volume.access.copying import draft_of
from roost.volume.access.filesystem_files import DeferredFile, ReadingFile, WritingFile
from roost.volume.access.filesystem_parts import Info, info_of, ranges_of, read_range, together
from roost.volume.access.opening import BUFFER_BYTES, client_mode
from roost.volume.access.tree import joined
from roost.volume.access.volume import Volume


class RoostFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A volume behind fsspec's interface.

    Options: `meta` (metadata URL; default: the environment's ROOST_META), `read_only`, `cache_dir`,
    `auto_mkdir` (make the folders above a file that is written; on, as on an object store).
    """

    protocol = places.SCHEMES
    root_marker = "/"
    cachable = True

    def __init__(
        self,
        meta: str | None = None,
        *,
        volume: str = "",
        read_only: bool = False,
        cache_dir: str | None = None,
        auto_mkdir: bool = True,
        **storage_options: Any,
    ) -> None:
        """Open the volume, or share the one that is open.

        `volume` is a URL's part after "://".  Raises InvalidArgument, NotFormatted, Unavailable …
        """
        super().__init__(**storage_options)
        self.auto_mkdir = auto_mkdir
        self._authority = volume
        place = places.place_of(volume, meta)
        folder = Path(cache_dir) if cache_dir else None
        self._share = shared.Share(place, read_only=read_only, cache_dir=folder)

    @property
    def volume(self) -> Volume:
        """The volume; a forked child that inherited this object opens it anew."""
        return self._share.volume

    def close(self) -> None:
        """Let go of the volume, which the last one closes; fsspec makes a new object when asked."""
        cached = type(self)._cache
        if cached.get(self._fs_token) is self:
            del cached[self._fs_token]
        self._share.release()

    # ---- URLs
    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        below = places.split_url(stringify_path(path))[1]
        return "/" + "/".join(part for part in below.split("/") if part)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        authority = places.split_url(path)[0]
        return {"volume": authority} if authority else {}

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path."""
        return f"{self.protocol[0]}://{self._authority}{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        """A name that no other volume has."""
        return f"roost_{self.volume.client.settings.uuid}"

    # ---- questions
    def info(self, path: Any, **_kwargs: Any) -> Info:
        """Return what is known of a path: name, size, type, mode, uid, gid, ino, nlink, mtime …"""
        where = self._strip_protocol(path)
        return info_of(self.volume, where, self.volume.lstat(where))

    def ls(self, path: Any, detail: bool = True, **_kwargs: Any) -> list[Any]:
        """Return what is in a folder, in order of name; of a file, itself."""
        where = self._strip_protocol(path)
        try:
            infos = [
                info_of(self.volume, entry.path, entry.stat())
                for entry in self.volume.scandir(where)
            ]
        except NotADirectoryError:
            infos = [self.info(where)]
        return infos if detail else [info["name"] for info in infos]

    def find(
        self,
        path: Any,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **_kwargs: Any,
    ) -> Any:
        """Return all files below a path, by one scan that brings their attributes along."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        top = self._strip_protocol(path)
        found: dict[str, Info] = {}
        try:
            if withdirs and self.volume.is_dir(top):
                found[top] = self.info(top)
            for entry in self.volume.scan_wide(top, maxdepth):
                if withdirs or not entry.is_dir():
                    info = info_of(self.volume, entry.path, entry.stat())
                    if withdirs or info["type"] != "directory":  # a link may lead to a folder
                        found[entry.path] = info
        except NotADirectoryError:
            found = {top: self.info(top)}
        except FileNotFoundError:
            found = {}
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def du(
        self,
        path: Any,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the bytes of all files below a path, or of each, by one scan."""
        infos = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: info["size"] for name, info in infos.items()}
        return sum(sizes.values()) if total else sizes

    def exists(self, path: Any, **_kwargs: Any) -> bool:
        """True if the path leads to something."""
        return self.volume.exists(self._strip_protocol(path))

    def lexists(self, path: Any, **_kwargs: Any) -> bool:
        """True if the name is there, be it a broken link."""
        return self.volume.lexists(self._strip_protocol(path))

    def isfile(self, path: Any) -> bool:
        """True if the path leads to a regular file."""
        return self.volume.is_file(self._strip_protocol(path))

    def isdir(self, path: Any) -> bool:
        """True if the path leads to a folder."""
        return self.volume.is_dir(self._strip_protocol(path))

    def islink(self, path: Any) -> bool:
        """True if the name is a symbolic link."""
        return self.volume.is_symlink(self._strip_protocol(path))

    def created(self, path: Any) -> datetime:
        """Return when the attributes last changed; a volume keeps no time of birth."""
        return datetime.fromtimestamp(self.info(path)["created"], tz=UTC)

    def modified(self, path: Any) -> datetime:
        """Return when the content last changed."""
        return datetime.fromtimestamp(self.info(path)["mtime"], tz=UTC)

    def ukey(self, path: Any) -> str:
        """Return a word that changes whenever the content does."""
        found = self.volume.stat(self._strip_protocol(path))
        return f"{self.fsid}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def checksum(self, path: Any) -> int:
        """Return `ukey` as a number."""
        return int(self.ukey(path).encode().hex(), 16)

    # ---- whole files
    def cat_file(
        self, path: Any, start: int | None = None, end: int | None = None, **_kwargs: Any
    ) -> bytes:
        """Return a file's bytes from `start` to `end`; negative ones count from its end."""
        with self.volume.open_raw(self._strip_protocol(path)) as raw:
            return read_range(raw, start, end)

    def cat_ranges(
        self,
        paths: list[Any],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_kwargs: Any,
    ) -> list[Any]:
        """Return the bytes of many ranges, several at a time.

        With on_error="return" what failed is its exception.  `max_gap` has no effect: neighbouring
        ranges share the blocks that are fetched.
        """
        calls = [partial(self.cat_file, *one) for one in ranges_of(paths, starts, ends)]
        return together(calls, on_error == "return")

    def cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any
    ) -> Any:
        """Return a file's bytes; of several files a dictionary, read several at a time."""
        names = self.expand_path(path, recursive=recursive, **kwargs)
        if not isinstance(path, list) and names == [self._strip_protocol(path)]:
            return self.cat_file(names[0])
        if recursive:
            names = [name for name in names if not self.isdir(name)]
        values = together([partial(self.cat_file, n) for n in names], on_error != "raise")
        pairs = zip(names, values, strict=True)
        return {n: v for n, v in pairs if on_error == "return" or not isinstance(v, Exception)}

    def pipe_file(self, path: Any, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Make `value` a file's content, complete or not at all."""
        if self._intrans:
            super().pipe_file(path, value, mode=mode, **kwargs)
            return
        where = self._strip_protocol(path)
        self._make_parent(where)
        self.volume.write_bytes(where, value, replace=mode != "create")

    def put_file(
        self, lpath: Any, rpath: Any, callback: Any = None, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Store a local file, complete or not at all."""
        where = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            self.volume.makedirs(where, exist_ok=True)
            return
        if mode == "create" and self.volume.lexists(where):
            raise FileExistsError(where)
        self._make_parent(where)
        if self._intrans:
            more = {} if callback is None else {"callback": callback}
            super().put_file(lpath, where, mode=mode, **more, **kwargs)
            return
        if callback is not None:
            callback.set_size(os.path.getsize(lpath))
        told = (lambda _n: None) if callback is None else callback.relative_update
        self.volume.upload(lpath, where, progress=told)

    def get_file(
        self, rpath: Any, lpath: Any = None, callback: Any = None, outfile: Any = None, **_kw: Any
    ) -> None:
        """Copy a file to the local disk, complete or not at all, or into a file object."""
        where = self._strip_protocol(rpath)
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if outfile is None and self.volume.is_dir(where):
            os.makedirs(lpath, exist_ok=True)
            return
        told = (lambda _n: None) if callback is None else callback.relative_update
        if callback is not None:
            callback.set_size(self.volume.stat(where).st_size)
        if outfile is not None:
            with self.volume.open(where, "rb") as file:
                while piece := file.read(BUFFER_BYTES):
                    outfile.write(piece)
                    told(len(piece))
            return
        local = Path(lpath)
        local.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(draft_of(str(local)))
        try:
            self.volume.download(where, draft, progress=told)
            draft.replace(local)
        finally:
            draft.unlink(missing_ok=True)

    def cp_file(self, path1: Any, path2: Any, **_kwargs: Any) -> None:
        """Copy a file inside the volume: it shares the blocks, no bytes move."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.volume.is_dir(source):
            self.volume.makedirs(target, exist_ok=True)
            return
        self._make_parent(target)
        self.volume.copy(source, target)

    # ---- names
    def mkdir(self, path: Any, create_parents: bool = True, **_kwargs: Any) -> None:
        """Make a folder.  Raises FileExistsError."""
        where = self._strip_protocol(path)
        (self.volume.makedirs if create_parents else self.volume.mkdir)(where)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        """Make a folder and those above it."""
        self.volume.makedirs(self._strip_protocol(path), exist_ok=exist_ok)

    def rmdir(self, path: Any) -> None:
        """Remove an empty folder."""
        self.volume.rmdir(self._strip_protocol(path))

    def rm_file(self, path: Any) -> None:
        """Remove a file."""
        self.volume.remove(self._strip_protocol(path))

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files and, with `recursive`, folders with all in them."""
        if recursive and maxdepth is not None:
            for name in reversed(self.expand_path(path, recursive=True, maxdepth=maxdepth)):
                is_folder = self.volume.is_dir(name) and not self.volume.is_symlink(name)
                (self.volume.rmdir if is_folder else self.volume.remove)(name)
            return
        for name in reversed(self.expand_path(path)):
            if not self.volume.is_dir(name) or self.volume.is_symlink(name):
                self.volume.remove(name)
            elif recursive:
                self.volume.rmtree(name)
            else:
                raise IsADirectoryError(name)

    def mv(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Move a file or a folder, with all in it, in one step; into `path2` if it is a folder."""
        if not isinstance(path1, (str, os.PathLike)) or any(c in str(path1) for c in "*?["):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)
            return
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if str(path2).endswith("/") or (self.volume.is_dir(target) and source != target):
            target = joined(target, source.rpartition("/")[2])
        self._make_parent(target)
        self.volume.rename(source, target)

    rename = mv

    def touch(self, path: Any, truncate: bool = True, **_kwargs: Any) -> None:
        """Make an empty file, or cut it with `truncate`, or set its times to now."""
        where = self._strip_protocol(path)
        self._make_parent(where)
        self.volume.touch(where)
        if truncate:
            self.volume.truncate(where, 0)

    def symlink(self, src: Any, dst: Any, **_kwargs: Any) -> None:
        """Make a symbolic link `dst` with the target `src`."""
        self.volume.symlink(stringify_path(src), self._strip_protocol(dst))

    def link(self, src: Any, dst: Any, **_kwargs: Any) -> None:
        """Give a file one more name."""
        self.volume.link(self._strip_protocol(src), self._strip_protocol(dst))

    def chmod(self, path: Any, mode: int) -> None:
        """Change the permission bits."""
        self.volume.chmod(self._strip_protocol(path), mode)

    # ---- inside
    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **_kwargs: Any,
    ) -> Any:
        """Open a binary file; a block cache is not needed, as a read goes to the blocks itself."""
        size_bytes = block_size or BUFFER_BYTES
        verb = client_mode(mode)
        if verb[0] != "r":
            self._make_parent(path)
            if not autocommit:
                return DeferredFile(self, self.volume, path, verb, size_bytes)
        if verb.endswith("+"):
            return self.volume.open(path, mode, size_bytes)
        raw = self.volume.open_raw(path, mode)
        kind = ReadingFile if verb == "r" else WritingFile
        return kind(self, raw, path, size_bytes)

    def _make_parent(self, path: str) -> None:
        if self.auto_mkdir:
            parent = self._parent(path)
            if not self.volume.is_dir(parent):
                self.volume.makedirs(parent, exist_ok=True)
