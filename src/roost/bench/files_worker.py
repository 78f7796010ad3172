"""A process that writes or reads one large file and tells how long that took.

It works through Roost in process (`roost META-URL CACHE-DIR`), through a mount (`mount FOLDER`), or
puts and gets objects of a block's size with the bare store library (`store STORAGE BUCKET`).  A
write ends when all of it is stored: the clock sees the close.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

from roost.bench.commands import peak_rss_bytes
from roost.blob.directory import DirectoryStore
from roost.blob.patience import PATIENT
from roost.blob.place import Place
from roost.errors import Unavailable
from roost.sizes import MIB
from roost.volume.client import VolumeClient

CALL_BYTES = MIB
"""Of one write or read by the program."""
OBJECT_BYTES = 4 * MIB
"""Of one object, JuiceFS's default block."""
TRANSFERS = 20
"""Objects under way at a time with the bare library; JuiceFS's default for uploads."""
_PATTERNS = 8
Put = Callable[[str, bytes], None]
Get = Callable[[str], bytes]


class Side(Protocol):
    """How one side writes and reads `name`; both return the bytes moved."""

    def write(self, name: str, pieces: Iterator[bytes]) -> int:
        """Store the pieces one after the other, durably as the side understands it."""

    def read(self, name: str, size_bytes: int) -> int:
        """Read all of its `size_bytes`, in order."""

    def close(self) -> None:
        """Let go."""


class RoostSide:
    """Through VolumeClient, with the defaults of its data path."""

    def __init__(self, meta_url: str, cache_dir: Path) -> None:
        self._client = VolumeClient.open(meta_url, cache_dir=cache_dir)

    def write(self, name: str, pieces: Iterator[bytes]) -> int:
        """As in Side."""
        total = 0
        with self._client.open_file(f"/{name}", "w") as file:
            for piece in pieces:
                total += file.write(piece)
        return total

    def read(self, name: str, size_bytes: int) -> int:
        """As in Side; it is read to its end, whatever the size."""
        total = 0
        target = bytearray(CALL_BYTES)
        with self._client.open_file(f"/{name}") as file:
            while size := file.readinto(target):
                total += size
        return total

    def close(self) -> None:
        """Close the volume."""
        self._client.close()


class MountSide:
    """Through a mount, with plain system calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, pieces: Iterator[bytes]) -> int:
        """As in Side."""
        total = 0
        with (self._folder / name).open("wb", buffering=0) as file:
            for piece in pieces:
                total += file.write(piece)
        return total

    def read(self, name: str, size_bytes: int) -> int:
        """As in Side; it is read to its end, whatever the size."""
        total = 0
        target = bytearray(CALL_BYTES)
        with (self._folder / name).open("rb", buffering=0) as file:
            while size := file.readinto(target):
                total += size
        return total

    def close(self) -> None:
        """Nothing is kept open."""


class StoreSide:
    """Objects of 4 MiB by the bare library, TRANSFERS at a time."""

    def __init__(self, storage: str, bucket: str) -> None:
        self._pool = ThreadPoolExecutor(TRANSFERS)
        self._put, self._get = bare_store(storage, bucket)

    def write(self, name: str, pieces: Iterator[bytes]) -> int:
        """As in Side."""
        total = number = 0
        under_way: deque[Future[None]] = deque()
        while data := b"".join(islice(pieces, OBJECT_BYTES // CALL_BYTES)):
            if len(under_way) == TRANSFERS:
                under_way.popleft().result()
            under_way.append(self._pool.submit(self._put, f"{name}/{number:06d}", data))
            number, total = number + 1, total + len(data)
        for transfer in under_way:
            transfer.result()
        return total

    def read(self, name: str, size_bytes: int) -> int:
        """As in Side; the objects are those of a write before."""
        total = 0
        under_way: deque[Future[bytes]] = deque()
        for number in range(-(-size_bytes // OBJECT_BYTES)):
            if len(under_way) == TRANSFERS:
                total += len(under_way.popleft().result())
            under_way.append(self._pool.submit(self._get, f"{name}/{number:06d}"))
        return total + sum(len(transfer.result()) for transfer in under_way)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def bare_store(storage: str, bucket: str) -> tuple[Put, Get]:
    """Return the put and get of the library that Roost's adapter uses, without the adapter.

    For a folder, which needs no library, objects are put by Roost's own store, and so durable when
    `put` returns, and read as plain files.
    """
    if storage == "file":
        folder = Path(bucket)
        return DirectoryStore(folder).put, lambda key: (folder / key).read_bytes()
    import obstore
    from obstore.store import AzureStore, S3Store

    from roost.blob.cloud_open import s3_client, wasb_address
    from roost.blob.s3_address import s3_address

    place = Place(storage, bucket)
    store: AzureStore | S3Store
    if storage == "wasb":
        address = wasb_address(place, os.environ)
        store = AzureStore(
            container_name=address.container,
            account_name=address.account,
            account_key=address.key,
            endpoint=address.endpoint,
            client_options={"allow_http": True},
        )
    else:
        store = s3_client(place, s3_address(storage, bucket, os.environ), PATIENT, os.environ)

    def put(key: str, data: bytes) -> None:
        obstore.put(store, key, data)

    def get(key: str) -> bytes:
        return bytes(obstore.get(store, key).bytes())

    return put, get


def pieces(size_bytes: int) -> Iterator[bytes]:
    """Yield random pieces of a call's size; a few, again and again."""
    patterns = [os.urandom(CALL_BYTES) for _ in range(_PATTERNS)]
    for number in range(-(-size_bytes // CALL_BYTES)):
        piece = patterns[number % _PATTERNS]
        yield piece[: size_bytes - number * CALL_BYTES]


def serve(side: Side) -> None:
    """Obey lines of standard input until it ends."""
    tell({})
    for line in sys.stdin:
        command = json.loads(line)
        name, size_bytes = command["name"], command["size_bytes"]
        start = time.perf_counter()
        if command["do"] == "write":
            moved = side.write(name, pieces(size_bytes))
        else:
            moved = side.read(name, size_bytes)
        seconds = time.perf_counter() - start
        if moved != size_bytes:
            raise Unavailable(f"{command['do']} moved {moved} bytes of {size_bytes}")
        tell({"seconds": seconds, "peak_rss_bytes": peak_rss_bytes()})
    side.close()


def tell(answer: dict[str, object]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Work as the command line says."""
    kind, *places = sys.argv[1:]
    match kind:
        case "roost":
            serve(RoostSide(places[0], Path(places[1])))
        case "mount":
            serve(MountSide(Path(places[0])))
        case "store":
            serve(StoreSide(*places))
        case other:
            raise ValueError(other)


if __name__ == "__main__":
    main()
