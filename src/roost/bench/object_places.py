"""Where a bench keeps objects: a folder, or a server of its own that speaks Azure's or S3's words.

Credentials go to each side through the environment, so that both read them in their own way.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from roost.errors import InvalidArgument
from roost.testing.servers import AzuriteServer, S3Server

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
    """The servers of a bench.  Each starts when it is first asked for, and stops at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._azurite: AzuriteServer | None = None
        self._s3: S3Server | None = None
        self._folders = 0

    def new(self, name: str) -> ObjectPlace:
        """Return an empty bucket of the store."""
        if name == "directory":
            self._folders += 1
            folder = self._folder / f"objects-{self._folders}"
            folder.mkdir()
            return ObjectPlace("file", f"{folder}/")
        if name == "azurite":
            self._azurite = azurite = self._azurite or AzuriteServer()
            stated = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
            bucket = f"https://{azurite.new_container()}.core.windows.net"
            return ObjectPlace("wasb", bucket, stated)
        self._s3 = s3 = self._s3 or S3Server()
        keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
        return ObjectPlace("s3", f"{s3.url}/{s3.new_bucket()}", keys)

    def __enter__(self) -> "ObjectPlaces":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._azurite, self._s3):
            if server is not None:
                server.stop()
