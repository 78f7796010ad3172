"""`Volume` for asyncio: every call runs on one of a few threads.

At most `THREADS` calls of one AsyncVolume are under way; further ones wait in the event loop.  A
call whose task was cancelled runs to its end on its thread, as a system call would.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from types import TracebackType
from typing import IO, Any, TypeVar

from typing_extensions import Buffer, ParamSpec

from roost.volume.access.attributes import PathLike
from roost.volume.access.entries import Entry
from roost.volume.access.volume import Volume

THREADS = 16
ENTRIES_AT_ONCE = 256

T = TypeVar("T")
P = ParamSpec("P")


class Threads:
    """Runs blocking calls for coroutines, a bounded number at a time."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="roost-async")
        self._places = asyncio.Semaphore(count)

    async def run(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what `call(*args, **named)` returns, computed on a thread."""
        async with self._places:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, partial(call, *args, **named))

    async def iterate(self, make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """Yield what `make()` yields; one hop to a thread a batch."""
        iterator = await self.run(make)
        while batch := await self.run(lambda: list(islice(iterator, ENTRIES_AT_ONCE))):
            for item in batch:
                yield item

    def close(self) -> None:
        """Let the threads go; what runs ends first."""
        self._pool.shutdown(wait=True)


class AsyncFile:
    """An open file whose calls are awaited.  Made by `AsyncVolume.open`."""

    def __init__(self, threads: Threads, file: IO[Any]) -> None:
        self._threads = threads
        self._file = file

    async def __aenter__(self) -> "AsyncFile":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._threads.iterate(lambda: iter(self._file))

    @property
    def sync(self) -> IO[Any]:
        """The file beneath, for code that runs on a thread of its own."""
        return self._file

    async def read(self, size: int = -1) -> Any:
        """Return bytes or text from the position, all of it if `size` is negative."""
        return await self._threads.run(self._file.read, size)

    async def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer` from the position of a binary file; return the bytes."""
        readinto: Callable[[Buffer], int] = self._file.readinto  # type: ignore[attr-defined]
        return await self._threads.run(readinto, buffer)

    async def readline(self) -> Any:
        """Return one line with its end, empty at the file's end."""
        return await self._threads.run(self._file.readline)

    async def write(self, data: Any) -> int:
        """Write bytes or text; return how many."""
        return await self._threads.run(self._file.write, data)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; return it."""
        return await self._threads.run(self._file.seek, offset, whence)

    async def tell(self) -> int:
        """Return the position."""
        return await self._threads.run(self._file.tell)

    async def truncate(self, size: int | None = None) -> int:
        """Cut or grow the file; return its size."""
        return await self._threads.run(self._file.truncate, size)

    async def flush(self) -> None:
        """Hand what is buffered to the volume; durable after `close` or `AsyncVolume.fsync`."""
        await self._threads.run(self._file.flush)

    async def close(self) -> None:
        """Store all and close."""
        await self._threads.run(self._file.close)


class AsyncVolume:
    """A volume for coroutines; the methods are `Volume`'s, awaited.

    async with await AsyncVolume.open_volume("redis://localhost/1") as v: …

    `run` calls anything else of `Volume`: `await v.run(v.sync.chmod, path, mode)`.
    """

    def __init__(self, volume: Volume, *, threads: int = THREADS) -> None:
        """Put a façade before `volume`, which it closes when it is closed itself."""
        self.sync = volume
        self._threads = Threads(threads)

    @classmethod
    async def open_volume(
        cls,
        meta_url: str,
        *,
        read_only: bool = False,
        cache_dir: PathLike | None = None,
        threads: int = THREADS,
    ) -> "AsyncVolume":
        """Open the volume at `meta_url` without blocking the loop.  Raises as `Volume`."""
        make = partial(Volume, meta_url, read_only=read_only, cache_dir=cache_dir)
        opening = asyncio.ensure_future(asyncio.to_thread(make))
        try:
            volume = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on; a volume that nobody gets would keep its session for ever.
            with contextlib.suppress(Exception):
                await asyncio.to_thread((await opening).close)
            raise
        return cls(volume, threads=threads)

    async def __aenter__(self) -> "AsyncVolume":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the volume and let the threads go."""
        try:
            await self.run(self.sync.close)
        finally:
            await asyncio.to_thread(self._threads.close)

    async def run(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what `call(*args, **named)` returns, computed on one of this volume's threads."""
        return await self._threads.run(call, *args, **named)

    async def open(
        self,
        path: PathLike,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> AsyncFile:
        """Open a file; its calls are awaited.  As `Volume.open`."""
        file = await self.run(self.sync.open, path, mode, buffering, encoding, errors, newline)
        return AsyncFile(self._threads, file)

    async def read_bytes(self, path: PathLike) -> bytes:
        """As `Volume.read_bytes`."""
        return await self.run(self.sync.read_bytes, path)

    async def write_bytes(self, path: PathLike, data: Buffer) -> int:
        """As `Volume.write_bytes`."""
        return await self.run(self.sync.write_bytes, path, data)

    async def read_text(self, path: PathLike) -> str:
        """As `Volume.read_text`."""
        return await self.run(self.sync.read_text, path)

    async def write_text(self, path: PathLike, text: str) -> int:
        """As `Volume.write_text`."""
        return await self.run(self.sync.write_text, path, text)

    async def fsync(self, path: PathLike) -> None:
        """As `Volume.fsync`."""
        await self.run(self.sync.fsync, path)

    async def truncate(self, path: PathLike, length: int) -> None:
        """As `Volume.truncate`."""
        await self.run(self.sync.truncate, path, length)

    async def stat(self, path: PathLike, *, follow_symlinks: bool = True) -> os.stat_result:
        """As `Volume.stat`."""
        return await self.run(self.sync.stat, path, follow_symlinks=follow_symlinks)

    async def exists(self, path: PathLike) -> bool:
        """As `Volume.exists`."""
        return await self.run(self.sync.exists, path)

    async def is_file(self, path: PathLike) -> bool:
        """As `Volume.is_file`."""
        return await self.run(self.sync.is_file, path)

    async def is_dir(self, path: PathLike) -> bool:
        """As `Volume.is_dir`."""
        return await self.run(self.sync.is_dir, path)

    async def listdir(self, path: PathLike = "/") -> list[str]:
        """As `Volume.listdir`."""
        return await self.run(self.sync.listdir, path)

    def scandir(self, path: PathLike = "/") -> AsyncIterator[Entry]:
        """As `Volume.scandir`, with `async for`."""
        return self._threads.iterate(lambda: self.sync.scandir(path))

    def scan(self, path: PathLike = "/") -> AsyncIterator[Entry]:
        """As `Volume.scan`, with `async for`."""
        return self._threads.iterate(lambda: self.sync.scan(path))

    def walk(self, top: PathLike = "/") -> AsyncIterator[tuple[str, list[str], list[str]]]:
        """As `Volume.walk`, top down, with `async for`."""
        return self._threads.iterate(lambda: self.sync.walk(top))

    async def glob(self, pattern: str) -> list[str]:
        """As `Volume.glob`."""
        return await self.run(self.sync.glob, pattern)

    async def mkdir(self, path: PathLike, mode: int = 0o755) -> None:
        """As `Volume.mkdir`."""
        await self.run(self.sync.mkdir, path, mode)

    async def makedirs(self, path: PathLike, mode: int = 0o755, exist_ok: bool = False) -> None:
        """As `Volume.makedirs`."""
        await self.run(self.sync.makedirs, path, mode, exist_ok)

    async def rmdir(self, path: PathLike) -> None:
        """As `Volume.rmdir`."""
        await self.run(self.sync.rmdir, path)

    async def rmtree(self, path: PathLike) -> int:
        """As `Volume.rmtree`."""
        return await self.run(self.sync.rmtree, path)

    async def remove(self, path: PathLike) -> None:
        """As `Volume.remove`."""
        await self.run(self.sync.remove, path)

    async def rename(self, source: PathLike, target: PathLike, *, replace: bool = True) -> None:
        """As `Volume.rename`."""
        await self.run(self.sync.rename, source, target, replace=replace)

    async def copy(self, source: PathLike, target: PathLike) -> int:
        """As `Volume.copy`."""
        return await self.run(self.sync.copy, source, target)

    async def clone(self, source: PathLike, target: PathLike) -> None:
        """As `Volume.clone`."""
        await self.run(self.sync.clone, source, target)

    async def upload(self, local: PathLike, path: PathLike) -> int:
        """As `Volume.upload`."""
        return await self.run(self.sync.upload, local, path)

    async def download(self, path: PathLike, local: PathLike) -> int:
        """As `Volume.download`."""
        return await self.run(self.sync.download, path, local)
