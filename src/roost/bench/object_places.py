"""Where a bench keeps objects: a folder, or a server of its own that speaks Azure's or S3's words.

Credentials go to each side through the environment, so that both read them in their own way.

Each bucket is the only one of a new server, which has compiled its code on objects of no interest.
One server for all would serve each side in another state: its first gigabyte is slower, its heap
is collected for many seconds at a time, and its files fill more and more of the page cache.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from roost.blob.open import open_store
from roost.blob.place import Place
from roost.errors import InvalidArgument
from roost.sizes import MIB
from roost.testing.servers import AzuriteServer, S3Server

_WARM_OBJECTS = 64
_WARM_OBJECT_BYTES = 4 * MIB
_WARM_TRANSFERS = 8
STORES = ("directory", "azurite", "s3")


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An empty bucket, in JuiceFS's words."""

    storage: str
    bucket: str
    environment: dict[str, str] = field(default_factory=dict)


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stores asked for; all for none.  Raises InvalidArgument for an unknown one."""
    for name in names:
        if name not in STORES:
            raise InvalidArgument(f"unknown setting {name!r}", hint=f"Known: {', '.join(STORES)}.")
    return names or STORES


def missing(name: str) -> str | None:
    """Return why the store cannot be had here; None if it can."""
    if name == "directory":
        return None
    return (AzuriteServer if name == "azurite" else S3Server).missing()


class ObjectPlaces:
    """The stores of a bench, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: AzuriteServer | S3Server | None = None
        self._folders = 0

    def new(self, name: str) -> ObjectPlace:
        """Return an empty bucket of the store; the servers of earlier ones end.

        Raises Unavailable if a server does not come up.
        """
        self._stop()
        if name == "directory":
            self._folders += 1
            folder = self._folder / f"objects-{self._folders}"
            folder.mkdir()
            return ObjectPlace("file", f"{folder}/")
        if name == "azurite":
            self._server = azurite = AzuriteServer()
            _warm(_container(azurite))
            return _container(azurite)
        self._server = s3 = S3Server()
        _warm(_bucket(s3))
        return _bucket(s3)

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> "ObjectPlaces":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()


def _container(azurite: AzuriteServer) -> ObjectPlace:
    stated = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    return ObjectPlace("wasb", f"https://{azurite.new_container()}.core.windows.net", stated)


def _bucket(s3: S3Server) -> ObjectPlace:
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    return ObjectPlace("s3", f"{s3.url}/{s3.new_bucket()}", keys)


def _warm(place: ObjectPlace) -> None:
    """Store and read objects in a bucket that nobody measures."""
    stated = place.environment
    keys = (stated.get("AWS_ACCESS_KEY_ID", ""), stated.get("AWS_SECRET_ACCESS_KEY", ""))
    store = open_store(Place(place.storage, place.bucket, *keys), environment=stated)
    data = os.urandom(_WARM_OBJECT_BYTES)

    def move(number: int) -> None:
        store.put(f"warm/{number}", data)
        store.get(f"warm/{number}")

    with ThreadPoolExecutor(_WARM_TRANSFERS) as pool:
        for _ in pool.map(move, range(_WARM_OBJECTS)):
            pass
