"""A volume as a Python program likes to have it: `open`, `listdir`, `walk`, `rename` …

    from roost.volume import Volume

    with Volume("redis://localhost/1") as v:
        with v.open("notes/today.txt", "w") as file:
            file.write("hello")
        print(v.listdir("notes"))

Paths are text or os.PathLike, from the volume's root, with or without the first "/".  Refusals are
the OSError that `os` would raise (FileNotFoundError …); what the outside could not do, and damage,
are RoostErrors with a hint.  No mount and no privileges are needed.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from typing_extensions import Buffer

from roost.volume.access import copying, tree
from roost.volume.access.attributes import Attributes, PathLike
from roost.volume.access.entries import Entry
from roost.volume.access.errors import as_os_errors
from roost.volume.access.left_open import LeftOpen
from roost.volume.access.opening import check_layers, client_mode, layered
from roost.volume.access.raw import RawFile
from roost.volume.client import VolumeClient
from roost.volume.data.transfer import Progress, nobody
from roost.volume.meta.answers import CloneOptions
from roost.volume.model import DirEntry


class Volume(Attributes):
    """A volume opened by this process.  Safe to use from several threads; close it when done."""

    def __init__(
        self, meta_url: str, *, read_only: bool = False, cache_dir: PathLike | None = None
    ) -> None:
        """Open the volume whose metadata is at `meta_url`: "redis://…", "sqlite3:///…" and so on.

        Finished files are kept below `cache_dir`, on a local disk; default: the user's cache.
        Raises NotFormatted, NewerFormat, Unsupported, Unavailable, InvalidArgument.
        """
        where = None if cache_dir is None else Path(cache_dir)
        self.client = VolumeClient.open(meta_url, read_only=read_only, cache_dir=where)
        self.device = int(self.client.settings.uuid[:8], 16)
        self._left_open = LeftOpen()

    @classmethod
    def over(cls, client: VolumeClient) -> "Volume":
        """Return a volume over a client that is open; closing the one closes the other."""
        volume = cls.__new__(cls)
        volume.client = client
        volume.device = int(client.settings.uuid[:8], 16)
        volume._left_open = LeftOpen()
        return volume

    def close(self) -> None:
        """Close the files that are still open, and end the session.  May be repeated.

        Each file that was open for writing is stored and a ResourceWarning.  All are tried; raises
        what the last failing one raised.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self.client.close)
            if self.client.is_here:
                closing.callback(self._left_open.close)

    def watch(self, file: io.IOBase | IO[Any]) -> None:
        """Close `file`, the outermost layer of an open file, with the volume at the latest."""
        self._left_open.add(file)

    def __enter__(self) -> "Volume":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<roost.volume Volume {self.name!r}>"

    @property
    def name(self) -> str:
        """The volume's name."""
        return self.client.settings.name

    # ---- files
    def open(
        self,
        path: PathLike,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        permissions: int = 0o644,
    ) -> IO[Any]:
        """Open a file as `open` does, with all its modes; text is UTF-8 unless told otherwise.

        `buffering=0` gives the RawFile.  What is written is durable when `close` returns.
        Raises OSError, ValueError for a mode that is none.
        """
        check_layers(mode, buffering, encoding, errors, newline)
        raw = self.open_raw(path, mode, permissions=permissions)
        try:
            file = layered(raw, mode, buffering, encoding, errors, newline)
        except BaseException:
            raw.discard()
            raise
        self.watch(file)
        return file

    def open_raw(self, path: PathLike, mode: str = "r", *, permissions: int = 0o644) -> RawFile:
        """Open a file without a buffer.  Raises OSError."""
        where, verb = os.fspath(path), client_mode(mode)
        with as_os_errors(where):
            return RawFile(self.client.open_file(where, verb, permissions=permissions), where, verb)

    def read_bytes(self, path: PathLike) -> bytes:
        """Return a file's whole content."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.read(where)

    def read_text(self, path: PathLike, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return a file's whole content as text, line ends as they are stored."""
        return self.read_bytes(path).decode(encoding, errors)

    def write_bytes(self, path: PathLike, data: Buffer, *, replace: bool = True) -> int:
        """Make `data` the file's whole content, in one step for whoever looks on; return its bytes.

        The file appears, or is replaced, complete or not at all.  With `replace` off a file that is
        there is FileExistsError.
        """
        where = os.fspath(path)
        with as_os_errors(where):
            return copying.write_whole(self, where, data, replace=replace)

    def write_text(self, path: PathLike, text: str, encoding: str = "utf-8") -> int:
        """As `write_bytes`, for text; returns its characters."""
        self.write_bytes(path, text.encode(encoding))
        return len(text)

    def truncate(self, path: PathLike, length: int) -> None:
        """Cut or grow a file.  Source: os.truncate."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.truncate(where, length)

    def fsync(self, path: PathLike) -> None:
        """Make durable what this process wrote to the file through any handle.

        A Python buffer above it is not flushed: call the file object's `flush` before.
        """
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.fsync(where)

    def upload(self, local: PathLike, path: PathLike, *, progress: Progress = nobody) -> int:
        """Store a local file as `path`, complete or not at all; return its bytes."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.upload(Path(local), where, progress=progress)

    def download(self, path: PathLike, local: PathLike, *, progress: Progress = nobody) -> int:
        """Copy a file to the new local file `local`; return its bytes."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.download(where, Path(local), progress=progress)

    def open_local(self, path: PathLike) -> Path:
        """Return a local path with a finished file's bytes, fit for `mmap`; not to be written."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.open_local(where)

    # ---- folders
    def listdir(self, path: PathLike = "/") -> list[str]:
        """Return the names in a folder, in order of their bytes."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.listdir(where)

    def scandir(self, path: PathLike = "/") -> Iterator[Entry]:
        """Yield a folder's entries with their attributes, in order of name."""
        return iter(self._entries(os.fspath(path)))

    def scan(self, path: PathLike = "/", depth_max: int | None = None) -> Iterator[Entry]:
        """Yield everything below a folder with its attributes, one listing a folder.

        A folder comes before what is in it; symbolic links are not followed.  `depth_max` 1 yields
        what is in the folder itself.
        """
        return tree.scan(self._entries, os.fspath(path), depth_max)

    def scan_wide(self, path: PathLike = "/", depth_max: int | None = None) -> Iterator[Entry]:
        """As `scan`, in no order and faster: several folders are listed at a time."""
        return tree.scan_wide(self._entries, os.fspath(path), depth_max)

    def walk(
        self,
        top: PathLike = "/",
        topdown: bool = True,
        onerror: Callable[[OSError], object] | None = None,
        followlinks: bool = False,
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield (folder, folders in it, other names in it).  Source: os.walk."""
        return tree.walk(
            self._entries,
            self._folder_ino,
            os.fspath(top),
            topdown=topdown,
            onerror=onerror,
            followlinks=followlinks,
        )

    def glob(self, pattern: str, *, include_hidden: bool = False) -> list[str]:
        """Return the paths that match, "**" standing for any number of folders.

        As glob.glob(recursive=True), sorted; "**" does not go through symbolic links.
        """
        found = tree.glob(
            self._entries, self.lexists, self.is_dir, pattern, include_hidden=include_hidden
        )
        return sorted(set(found))

    def mkdir(self, path: PathLike, mode: int = 0o755) -> None:
        """Make a folder.  Source: os.mkdir."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.mkdir(where, mode)

    def makedirs(self, path: PathLike, mode: int = 0o755, exist_ok: bool = False) -> None:
        """Make a folder and those above it.  Source: os.makedirs."""
        where = os.fspath(path)
        if not where.strip("/"):
            if not exist_ok:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), where)
            return
        with as_os_errors(where):
            self.client.mkdir(where, mode, parents=True, exist_ok=exist_ok)

    def rmdir(self, path: PathLike) -> None:
        """Remove an empty folder.  Source: os.rmdir."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.rmdir(where)

    def rmtree(self, path: PathLike, *, skip_trash: bool = False) -> int:
        """Remove a folder with all in it; return how many names.  Raises NotADirectoryError."""
        where = os.fspath(path)
        with as_os_errors(where):
            if not self.client.stat(where, follow=False).is_directory:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), where)
            return self.client.remove_tree(where, skip_trash=skip_trash)

    # ---- names
    def remove(self, path: PathLike) -> None:
        """Remove a name that is no folder; into the trash if the volume has one."""
        where = os.fspath(path)
        with as_os_errors(where):
            self.client.remove(where)

    unlink = remove

    def rename(self, source: PathLike, target: PathLike, *, replace: bool = True) -> None:
        """Move a name in one step, replacing a file or an empty folder.  Source: os.rename.

        With `replace` off a `target` that is there is FileExistsError.
        """
        old, new = os.fspath(source), os.fspath(target)
        with as_os_errors(old, new):
            self.client.rename(old, new, replace=replace)

    replace = rename

    def link(self, source: PathLike, target: PathLike) -> None:
        """Give a file one more name.  Source: os.link."""
        old, new = os.fspath(source), os.fspath(target)
        with as_os_errors(old, new):
            self.client.link(old, new)

    def symlink(self, target: PathLike, path: PathLike) -> None:
        """Make a symbolic link at `path`.  Source: os.symlink."""
        where = os.fspath(path)
        with as_os_errors(os.fspath(target), where):
            self.client.symlink(os.fspath(target), where)

    def readlink(self, path: PathLike) -> str:
        """Return a symbolic link's target."""
        where = os.fspath(path)
        with as_os_errors(where):
            return self.client.readlink(where)

    def touch(self, path: PathLike, *, exist_ok: bool = True) -> None:
        """Make an empty file, or set the times of the one that is there to now."""
        where = os.fspath(path)
        if exist_ok and self.exists(where):
            self.utime(where)
        else:
            with as_os_errors(where):
                self.client.open_file(where, "x").close()

    def copy(self, source: PathLike, target: PathLike) -> int:
        """Copy a file with mode and times, complete or not at all; return its bytes.

        Inside one volume no bytes move: the copy shares the stored blocks.
        """
        old, new = os.fspath(source), os.fspath(target)
        with as_os_errors(old, new):
            return copying.copy_file(self, old, new)

    def clone(self, source: PathLike, target: PathLike, *, preserve: bool = True) -> None:
        """Make `target` a snapshot of a file or of a whole folder; it appears when complete.

        The blocks are shared, so it costs metadata only.  Without `preserve` owner, mode and times
        are new.  Raises FileExistsError.
        """
        old, new = os.fspath(source), os.fspath(target)
        with as_os_errors(old, new):
            self.client.clone(old, new, options=CloneOptions(preserve=preserve))

    def _folder_ino(self, path: str) -> int | None:
        """Return the inode of the folder that a path leads to, None if it is none."""
        if not self.is_dir(path):
            return None
        with as_os_errors(path):
            return self.client.node(path).ino

    def _entries(self, folder: str) -> list[Entry]:
        with as_os_errors(folder):
            found = self.client.readdir(folder, with_attrs=True)
        return [self._entry(folder, entry) for entry in found]

    def _entry(self, folder: str, entry: DirEntry) -> Entry:
        assert entry.attr is not None
        name = os.fsdecode(entry.name)
        return Entry(name, tree.joined(folder, name), entry.ino, entry.attr, self.device)
