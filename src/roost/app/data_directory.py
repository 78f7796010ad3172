"""The one folder of the embedded form, and who may use it.

volume.db   metadata of the volume (JuiceFS's tables in SQLite)
objects/    its object store
catalog.db  collections, manifests, members, lease
cache/      whole files of this host; may be deleted while nothing runs
logs/       one file a process
run/        lock files
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from roost.config.settings import Settings
from roost.errors import InvalidArgument, Unavailable

VOLUME_NAME = "roost"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Paths and URLs below one folder, with those of the settings in their place."""

    root: Path
    meta_url: str
    catalog_url: str
    cache: Path

    @property
    def objects(self) -> Path:
        """The embedded volume's object store."""
        return self.root / "objects"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def locks(self) -> Path:
        """Lock files, one a role that exists once on this host."""
        return self.root / "run"


def prepare(settings: Settings) -> DataDirectory:
    """Make the folder and what is in it.  Raises InvalidArgument without rights."""
    root = settings.data.absolute()
    if "?" in str(root) and not (settings.meta_url and settings.catalog_url):
        # A URL would end there, and folders alike up to it would share one database.
        raise InvalidArgument(
            f"the data directory's path has a question mark: {root}",
            hint="Choose another folder with --data.",
        )
    cache = Path(settings.cache).absolute() if settings.cache else root / "cache"
    found = DataDirectory(
        root,
        settings.meta_url or f"sqlite3://{root / 'volume.db'}",
        settings.catalog_url or f"sqlite:///{root / 'catalog.db'}",
        cache,
    )
    try:
        for folder in (found.logs, found.locks, found.objects, cache):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise InvalidArgument(
            f"cannot use {root} as data directory: {error.strerror}",
            hint="Choose another folder with --data, or change its owner.",
        ) from error
    return found


class FolderLock:
    """An exclusive lock that the kernel gives back when its process dies."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @staticmethod
    def take(path: Path, what: str) -> "FolderLock":
        """Take the lock at `path`.  Raises Unavailable, naming the holder, if it is taken."""
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Unavailable(
                f"{what} is in use by process {holder}",
                hint="Stop that process, or choose another folder with --data.",
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        return FolderLock(file)

    def release(self) -> None:
        """Give it back."""
        self._file.close()
